# Values that are there and say nothing: a template that had nothing to fill in.
node = "test"

listener "main" {
  address           = "127.0.0.1:6432"
  cert_file         = "pki/server.crt"
  key_file          = "pki/server.key"
  client_ca         = ["pki/clients-ca.crt"]
  crl               = []
  handshake_timeout = ""
  crl_grace         = " "
}

listener "nobody" {
  address   = "127.0.0.1:6433"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = []

  spiffe {
    trust_domain "prod.example" { bundle = [] }
  }
}

audit {
  directory    = "audit"
  segment_size = ""
}

admin {
  address   = "127.0.0.1:9432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = []
}
