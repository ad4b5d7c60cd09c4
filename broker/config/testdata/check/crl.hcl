listener "stale" {
  address   = "127.0.0.1:6432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt", "pki/admin-ca.crt"]
  crl       = ["odd/stale.crl"]
}
listener "odd" {
  address    = "127.0.0.1:6433"
  cert_file  = "pki/server.crt"
  key_file   = "pki/server.key"
  client_ca  = ["pki/clients-ca.crt"]
  crl        = ["odd/foreign.crl", "odd/future.crl", "odd/junk.crt"]
  crl_policy = "warn"
}
listener "directory" {
  address   = "127.0.0.1:6434"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt"]
  crl       = ["odd/crls"]
}
audit { directory = "audit" }
