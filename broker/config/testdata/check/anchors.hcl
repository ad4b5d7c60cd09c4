listener "main" {
  address   = "127.0.0.1:6432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = [
    "pki/clients-ca.crt",
    "pki/server.crt",
    "pki/server.key",
    "odd/junk.crt",
    "odd/weak-ca.crt",
    "odd/no-sign-ca.crt",
    "odd/nameless-ca.crt",
    "odd/v1-ca.crt",
    "odd/expired-ca.crt",
    "odd/future-ca.crt",
    "odd/easy-ca.crt",
  ]
}
audit { directory = "audit" }
