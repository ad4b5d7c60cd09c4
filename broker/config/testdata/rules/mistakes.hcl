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
database "orders" { upstream = "orders" }
audit { directory = "audit" }

map "misspelt" {
  match {
    cn         = "zoe"
    commonname = "zoe" # ERROR
  }
  role      = "alice"
  databases = ["orders"]
}
map "when" {
  match { cn = "alice" }
  role      = "alice"
  databases = ["orders"]
  when      = now.hours > 6 && cert.cnn == "alice" # ERROR
}
map "expression" {
  match { email = "/^(?<!x)a$" } # ERROR
  role      = "\\2"
  databases = ["order"] # ERROR
  listeners = ["mian"] # ERROR
  from      = ["10.0.0.0/33"] # ERROR
}
map "reserved" {
  match { cn = "bob" }
  role      = "bob"
  databases = ["orders"]
  pool_mode = "statement" # ERROR
  session {
    settings          = { "pgsignet.token" = "x", "role" = "postgres" } # ERROR
    stamp             = ["token"] # ERROR
    statement_timeout = "30" # ERROR
  }
}
map "console" {
  match { cn = "carol" }
  admin     = "viewer"
  databases = ["orders"] # ERROR
}
map "console" { # ERROR
  match { cn = "dave" }
  admin = "root" # ERROR
}
map "nobody" {
  match {} # ERROR
  role = "nobody"
}
test "nothing" { # ERROR
  user = "alice"
}
