listener "main" {
  address           = "6432"
  cert_file         = "pki/server.crt"
  key_file          = "pki/server.key"
  client_ca         = ["pki/clients-ca.crt", ""]
  crl_policy        = "Strict"
  crl_grace         = "7d"
  ocsp              = "on"
  min_tls           = "1.1"
  session_tickets   = "maybe"
  max_clients       = 0
  half_open         = 1.5
  handshake_timeout = 10
  write_timeout     = "1 m"
  login_backoff     = "-1s"
  proxy_protocol    = ["10.0.0.1/8", "gateway", "::ffff:192.0.2.7"]
  admin             = null
  spiffe {
    workload_api = "/run/spire/agent.sock"
    trust_domain "spiffe://prod.example" { bundle = ["pki/prod-bundle.crt"] }
  }
}
upstream "orders" {
  hosts           = ["db1:5432,db2:5432", "/run/postgresql", "db1:postgres", "::1", "db2"]
  ca_file         = "pki/postgres-ca.crt"
  target          = "readonly"
  connect_timeout = "0s"
  credential "issuer" {
    cert_file = "pki/roles-ca.crt"
    key_file  = "pki/roles-ca.key"
    lifetime  = "soon"
  }
  pool {
    size     = 5
    min_idle = 6
    share    = "everybody"
  }
}
audit {
  directory           = "audit"
  segment_size        = "256MB"
  max_statement_bytes = "1B"
  redact              = ["[0-9", "x*", "(?=y)"]
  sink "syslog" { address = "logs.example.com" }
}
log {
  level = "warning"
}
admin {
  address = "127.0.0.1:http"
}
node = upper("gw1")
