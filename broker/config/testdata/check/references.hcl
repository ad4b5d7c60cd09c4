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
database "a" { upstream = "order" }
database "b" { upstream = "payments" }
database "pgsignet" { upstream = "orders" }
database "pgbouncer" { upstream = "orders" }
database "console" { upstream = "orders" }
database "*" {
  upstream = "orders"
  dbname   = "one"
}
database "ein Name der mehr als dreiundsechzig Zeichen hat und daher nicht geht" { upstream = "orders" }
admin { database = "console" }
audit { directory = "audit" }
