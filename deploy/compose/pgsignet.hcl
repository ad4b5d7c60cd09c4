listener "main" {
  address   = "0.0.0.0:6432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt"]
  crl       = ["pki/clients-ca.crl"]
}
upstream "orders" {
  hosts   = ["postgres:5432"]
  ca_file = "pki/servers-ca.crt"
  credential "certificate" {
    cert_file = "pki/broker.crt"
    key_file  = "pki/broker.key"
  }
}
database "orders" { upstream = "orders" }

map "staff" { # alice@example.com becomes alice
  match { email = "/^([a-z]+)@example[.]com$" }
  role      = "$1"
  databases = ["orders"]
}
map "billing service" {
  match { spiffe = "spiffe://prod.example/ns/billing/sa/api" }
  role      = "billing_rw"
  databases = ["orders"]
}
audit { directory = "/var/lib/pgsignet/audit" }
admin {
  address = "127.0.0.1:9432"
  socket  = "/var/lib/pgsignet/admin/admin.sock"
}
