listener "main" {
  address   = "127.0.0.1:6432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt"]
}
admin {
  address   = ":9432"
  client_ca = ["pki/admin-ca.crt"]
  socket    = "a-directory-with-a-long-name/another-directory-with-a-long-name/and-one-more-directory-with-a-long-name/admin.sock"
}
audit { directory = "odd/world" }
