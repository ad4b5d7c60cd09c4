listener "main" {
  address   = "127.0.0.1:6432"
  cert_file = "pki/server.crt"
  key_file  = "odd/open.key"
  client_ca = ["pki/clients-ca.crt"]
}
listener "encrypted" {
  address   = "127.0.0.1:6433"
  cert_file = "pki/server.crt"
  key_file  = "odd/encrypted.key"
  client_ca = ["pki/clients-ca.crt"]
}
listener "mismatch" {
  address   = "127.0.0.1:6434"
  cert_file = "pki/server.crt"
  key_file  = "pki/broker.key"
  client_ca = ["pki/clients-ca.crt"]
}
listener "swapped" {
  address   = "127.0.0.1:6435"
  cert_file = "pki/server.key"
  key_file  = "pki/server.crt"
  client_ca = ["pki/clients-ca.crt"]
}
listener "huge" {
  address   = "127.0.0.1:6436"
  cert_file = "pki/server.crt"
  key_file  = "odd/huge.key"
  client_ca = ["pki/clients-ca.crt"]
}
listener "pipe" {
  address   = "127.0.0.1:6437"
  cert_file = "pki/server.crt"
  key_file  = "odd/pipe.key"
  client_ca = ["pki/clients-ca.crt"]
}
upstream "orders" {
  hosts   = ["127.0.0.1"]
  ca_file = "pki/postgres-ca.crt"
  credential "password" {
    file = "odd/open.key"
  }
}
database "orders" {
  upstream     = "orders"
  identity_key = "odd/short"
}
audit {
  directory      = "audit"
  checkpoint_key = "odd/open.key"
  sink "postgres" {
    dsn_file = "odd/open.key"
  }
}
