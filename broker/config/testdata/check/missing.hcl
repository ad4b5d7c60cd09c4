listener "main" {
  cert_file = "pki/server.crt"
}
listener "other" {
  address   = "127.0.0.1:6433"
  cert_file = "pki/absent.crt"
  key_file  = "pki/absent.key"
  client_ca = ["pki/absent-ca.crt"]
  crl       = ["pki/absent.crl"]
}
upstream "orders" {
  hosts   = []
  ca_file = "pki"
}
upstream "legacy" {
  hosts   = ["127.0.0.1:5434"]
  ca_file = "pki/postgres-ca.crt"
  credential "password" {
    file = "passwords/{role}"
  }
}
database "orders" {
  dbname = ""
}
database {
  upstream = "orders"
}
