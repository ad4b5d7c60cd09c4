listener "expired" {
  address   = "127.0.0.1:6432"
  cert_file = "odd/expired.crt"
  key_file  = "odd/expired.key"
  client_ca = ["pki/clients-ca.crt"]
}
listener "soon" {
  address   = "127.0.0.1:6433"
  cert_file = "odd/soon.crt"
  key_file  = "odd/soon.key"
  client_ca = ["pki/clients-ca.crt"]
}
listener "future" {
  address   = "127.0.0.1:6434"
  cert_file = "odd/future.crt"
  key_file  = "odd/future.key"
  client_ca = ["pki/clients-ca.crt"]
}
listener "client" {
  address   = "127.0.0.1:6435"
  cert_file = "pki/broker.crt"
  key_file  = "pki/broker.key"
  client_ca = ["pki/clients-ca.crt"]
}
listener "order" {
  address   = "127.0.0.1:6436"
  cert_file = "odd/order.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt"]
}
upstream "orders" {
  hosts   = ["127.0.0.1"]
  ca_file = "pki/postgres-ca.crt"
  credential "certificate" {
    cert_file = "pki/server.crt"
    key_file  = "pki/server.key"
  }
}
upstream "ledger" {
  hosts   = ["127.0.0.1"]
  ca_file = "pki/postgres-ca.crt"
  credential "issuer" {
    cert_file = "pki/broker.crt"
    key_file  = "pki/broker.key"
  }
}
audit {
  directory = "audit"
  sink "syslog" {
    address   = "tls://logs.example.com:6514"
    cert_file = "pki/server.crt"
    key_file  = "pki/server.key"
  }
  sink "syslog" {
    address   = "unix:///dev/log"
    cert_file = "pki/broker.crt"
  }
}
