listener "main" {
  address   = "127.0.0.1:6432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["odd/same-key-ca.crt"]
}
upstream "ledger" {
  hosts   = ["127.0.0.1:5433"]
  ca_file = "pki/roles-ca.crt"
  credential "issuer" {
    cert_file = "pki/roles-ca.crt"
    key_file  = "pki/roles-ca.key"
  }
}
upstream "other" {
  hosts   = ["127.0.0.1:5434"]
  ca_file = "pki/postgres-ca.crt"
  credential "issuer" {
    cert_file = "odd/long-ca.crt"
    key_file  = "odd/long-ca.key"
  }
}
admin {
  cert_file = "pki/admin.crt"
  key_file  = "pki/admin.key"
  client_ca = ["odd/long-ca.crt"]
}
audit { directory = "audit" }
