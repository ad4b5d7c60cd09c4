# The least there is: everything else has a default.
listener "main" {
  address   = "127.0.0.1:6432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt"]
}
upstream "orders" {
  hosts   = ["127.0.0.1"]
  ca_file = "pki/postgres-ca.crt"
  credential "certificate" {
    cert_file = "pki/broker.crt"
    key_file  = "pki/broker.key"
  }
}
database "orders" {
  upstream = "orders"
}
audit {
  directory = "audit"
}
