listener "main" {
  address   = "127.0.0.1:6432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt", "pki/admin-ca.crt"]
}
upstream "orders" {
  hosts   = ["127.0.0.1"]
  ca_file = "pki/postgres-ca.crt"
  credential "certificate" {
    cert_file = "pki/broker.crt"
    key_file  = "pki/broker.key"
  }
  pool { mode = "transaction" }
}
upstream "standby" {
  hosts   = ["127.0.0.1"]
  ca_file = "pki/postgres-ca.crt"
  target  = "standby"
  credential "certificate" {
    cert_file = "pki/broker.crt"
    key_file  = "pki/broker.key"
  }
  pool {
    mode  = "transaction"
    share = "role"
  }
}
upstream "careful" {
  hosts   = ["127.0.0.1"]
  ca_file = "pki/postgres-ca.crt"
  credential "certificate" {
    cert_file = "pki/broker.crt"
    key_file  = "pki/broker.key"
  }
  pool {
    mode  = "transaction"
    reset = "always"
  }
}
database "orders"  { upstream = "orders" }
database "reports" { upstream = "standby" }
database "careful" { upstream = "careful" }
audit { directory = "audit" }

map "staff" {
  match { email = "/^([a-z]+)@example\\.com$" }
  listeners = ["main"]
  role      = "\\1"
  databases = ["orders", "careful"]
}
map "readers" {
  match { ou = "Readers" }
  listeners = ["main"]
  role      = "reader"
  databases = ["*"]
  pool_mode = "session"
  session { read_only = true }
}
map "api" {
  match { spiffe = "spiffe://prod.example/api" }
  role      = "reader"
  databases = ["reports"]
}
map "batch" {
  match { spiffe = "spiffe://prod.example/batch" }
  role      = "reader"
  databases = ["reports"]
}
map "any-ca" {
  match { cn = "erin" }
  role      = "erin"
  databases = ["careful"]
  session { stamp = ["token"] }
}
