# A configuration to begin with: copy it to /etc/pgsignet/pgsignet.hcl, put your names into it, and
#   pgsignet check
# reference.hcl beside this file shows every setting with its default; pgsignet.hcl(5) explains them.

runtime_dir = "/run/pgsignet" # where a new version takes over from the old

listener "main" { # where clients connect
  address   = "127.0.0.1:6432" # all addresses: "0.0.0.0:6432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt"] # who may vouch for clients
}

upstream "orders" { # a PostgreSQL server, and how pgsignet logs in there
  hosts   = ["localhost:5432"]
  ca_file = "pki/servers-ca.crt"
  credential "certificate" {
    cert_file = "pki/broker.crt"
    key_file  = "pki/broker.key"
  }
}

database "orders" { upstream = "orders" }

map "staff" { # alice@example.com becomes the role alice
  match { email = "/^([a-z]+)@example[.]com$" }
  role      = "$1"
  databases = ["orders"]
}

audit { directory = "/var/lib/pgsignet/audit" }

admin {
  address    = "127.0.0.1:9432"
  socket     = "/run/pgsignet/admin.sock"
  locks_file = "/var/lib/pgsignet/locks.json"
}
