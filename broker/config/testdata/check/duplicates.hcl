listener "main" {
  address   = "127.0.0.1:6432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt"]
}
listener "main" {
  address   = "127.0.0.1:6432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt"]
}
listener "metrics" {
  address   = "127.0.0.1:9432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt"]
  spiffe {
    trust_domain "prod.example" { bundle = ["pki/prod-bundle.crt"] }
    trust_domain "prod.example" { bundle = ["pki/prod-bundle.crt"] }
  }
}
upstream "orders" {
  hosts   = ["127.0.0.1:5432"]
  ca_file = "pki/postgres-ca.crt"
  credential "certificate" {
    cert_file = "pki/broker.crt"
    key_file  = "pki/broker.key"
  }
  credential "password" {
    file = "secrets/{role}"
  }
}
upstream "orders" {
  hosts   = ["127.0.0.1:5433"]
  ca_file = "pki/postgres-ca.crt"
  credential "password" {
    file = "secrets/{role}"
  }
}
database "orders" { upstream = "orders" }
database "orders" { upstream = "orders" }
audit { directory = "audit" }
audit { directory = "audit2" }
