deny "stolen-laptop" {                  # denies come first and always win
  match  { serial = "4f1c2ab0" }
  reason = "reported stolen on 2026-11-20"
}
deny "contractors at night" {
  match { o = "Contractors" }
  databases = ["orders"]                # these four: absent means any
  listeners = ["main"]
  from      = ["10.0.0.0/8"]
  when      = now.hour < 6 || now.hour >= 20
  reason    = "contractors work from 6 to 20 UTC"
}

# pg_ident.conf:   staff   /^(.*)@example\.com$   \1
map "staff" {
  match { email = "/^([a-z]+)@example\\.com$" } # leading slash: a regular expression on the whole value
  role      = "\\1"                             # its first capture; "$1" is the same
  databases = ["orders"]
}

map "billing-service" {
  match {                                       # every attribute must match
    spiffe = "spiffe://prod.example/ns/billing/sa/api"
    issuer = "CN=Clients CA"
  }
  listeners = ["main"]                          # absent: any
  roles     = ["billing_rw", "billing_ro"]      # the client names one of them as its user
  databases = ["orders"]
  from      = ["127.0.0.0/8", "10.0.0.0/8"]
  when      = now.hour >= 6 && now.hour < 20    # UTC
  pool_mode = "transaction"
  audit     = "full"
  replication      = false                      # may open replication connections (session mode)
  fingerprint_only = false                      # audit the normalised statement, never its literals

  limits {
    sessions     = 50                           # per identity: SPIFFE ID, else DN
    map_sessions = 500                          # in all
    pool         = 10                           # server connections this map may hold
  }
  session {
    read_only         = false                   # a guard rail; the boundary is the role or a standby
    statement_timeout = "30s"                   # the broker's clock; a client's SET can only shorten it
    idle_timeout      = "15m"
    max_duration      = "8h"
    settings          = { "app.caller" = cert.spiffe }
    # session | identity | map | token | application_name; default: the first three in session mode,
    # none in transaction mode. Labels for people, but for token, which pgsignet.identity() checks.
    stamp = ["identity", "token"]
  }
}

map "payments-team" {
  match { extension = { "1.3.6.1.4.1.55555.1.1" = "payments" } } # certificate extensions by OID: team, role, …
  assume    = true                              # log in as `role`, whatever user the client named
  role      = "payments_ro"
  databases = ["*"]
}

map "operators" {
  match {
    ou = "Database Operations"
    anchor = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" # SHA-256 of the trust anchor
  }
  admin = "operator"                            # viewer | operator: the admin console, no database or role
}

# Run by `pgsignet test` and before every reload is accepted.
test "alice reads orders" {
  cert     = { email = ["alice@example.com"] }
  user     = "alice"
  database = "orders"
  expect   = { allow = true, map = "staff", role = "alice" }
}
test "billing by day" {
  cert             = { spiffe = "spiffe://prod.example/ns/billing/sa/api", issuer = "CN=Clients CA" }
  user             = "billing_ro"
  database         = "orders"
  listener         = "main"                     # default: the only one
  from             = "127.0.0.1"
  at               = "2026-11-23T10:00:00Z"     # default: now
  application_name = "api"
  replication      = false
  expect           = { allow = true, map = "billing-service", role = "billing_ro" }
}
test "the certificate that alice holds" {
  cert_file = "pki/alice.crt"                  # instead of cert
  user      = "alice"
  database  = "orders"
  expect    = { allow = true, map = "staff", role = "alice" }
}
test "mallory is not staff" {
  cert     = { email = ["mallory@evil.example.com"] }
  user     = "mallory"
  database = "orders"
  expect   = { allow = false }
}
