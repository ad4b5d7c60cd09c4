listner "main" {
  address = "127.0.0.1:6432"
}
runtime_directory = "/run/pgsignet"
upstream "orders" {
  hosts          = ["127.0.0.1:5432"]
  ca_file        = "pki/postgres-ca.crt"
  conect_timeout = "5s"
  credential "certficate" {
    cert_file = "pki/broker.crt"
  }
  pool {
    modes = "session"
  }
}
audit {
  directory = "audit"
  sink "kafka" {
    brokers = ["127.0.0.1:9092"]
  }
}
mapp "staff" {
}
