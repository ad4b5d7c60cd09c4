# Every block and attribute that pgsignet understands. This file must always load
# (`pgsignet check --config deploy/pgsignet.hcl` with the files it names in place).
# Relative paths are relative to the file that names them. Durations: "500ms", "30s", "24h".
# Sizes: "8KiB", "256MiB". --config takes a file or a directory (its *.hcl, in name order,
# read as one configuration) and may be repeated.
# "# " is prose; "#" without a space is a setting that is off here: it also loads uncommented.

node        = "gw1"                     # this process in audit and metrics; default: the host's name
runtime_dir = "/run/pgsignet"           # where a new process takes over from the old (upgrade)

listener "main" {
  address   = "127.0.0.1:6432"
  #socket = "pgsignet-main"            # a systemd socket by name, instead of address when it is passed
  reuse_port = false                  # other nodes may listen on the same address (SO_REUSEPORT; Linux)
  cert_file = "pki/server.crt"        # leaf first, then intermediates
  key_file  = "pki/server.key"        # 0600, or group-readable when root owns it

  client_ca  = ["pki/clients-ca.crt"] # several bundles overlap during a CA rotation
  crl        = ["pki/clients.crl"]    # files or directories of PEM or DER CRLs
  crl_policy = "grace"                # a CRL past nextUpdate: strict (refuse) | grace | warn
  crl_grace  = "24h"
  ocsp       = "off"                  # off | lax (an unreachable responder is counted, not fatal) | strict

  min_tls           = "1.2"           # 1.2 | 1.3
  on_expiry         = "disconnect"    # a certificate that expires mid-session: disconnect | drain | allow
  expiry_notice     = "72h"           # a login whose certificate ends sooner gets a NOTICE; "0s" is off
  session_tickets   = false           # TLS resumption; when on, every resumed session is verified anew
  ocsp_staple       = true            # staple our own certificate's status when its issuer offers OCSP
  max_clients       = 10000
  handshake_timeout = "10s"           # from accept to a complete start-up packet
  max_handshakes    = 64              # computed at once, by all processors but one; more wait
  half_open         = 1000            # connections not yet logged in
  login_backoff     = "0s"            # longest pause before a refusal; doubles per refusal and address; "0s" is off
  write_timeout     = "1m"            # a client that does not read what it asked for
  plaintext_cancel  = true            # libpq before 17 sends CancelRequest without TLS
  proxy_protocol    = []              # CIDRs whose connections must start with a PROXY header
  admin             = true            # offers the admin console; default: false

  half_open_per_address       = 100
  open_batch_timeout          = "1m"  # extended messages without a Sync
  idle_in_transaction_timeout = "0s"  # 25P03; "0s" is off

  spiffe {                            # optional: bundles by trust domain instead of one client_ca pool
    #workload_api = "unix:///run/spire/agent.sock" # trust domains without a bundle here
    trust_domain "prod.example" { bundle = ["pki/prod-bundle.crt"] }
  }
}

upstream "orders" {
  hosts           = ["127.0.0.1:5432"]  # tried in order until one fits `target`
  target          = "any"               # any | read-write | read-only | primary | standby | prefer-standby
  ca_file         = "pki/postgres-ca.crt"
  server_name     = "localhost"         # certificate name to verify; default: the host
  negotiation     = "postgres"          # postgres (SSLRequest) | direct (PostgreSQL 17 and later)
  connect_timeout = "5s"
  max_connections = 60                  # over all pools of this upstream

  credential "certificate" {            # the broker's own client certificate; Postgres maps it to roles
    cert_file = "pki/broker.crt"
    key_file  = "pki/broker.key"
  }

  pool {
    mode                = "session"     # session | transaction
    share               = "map"         # one server serves, in turn, sessions of one: role | map | identity
    size                = 20            # server connections per (database, role, share)
    min_idle            = 0
    wait_timeout        = "30s"         # a client that waits longer gets 53300
    idle_timeout        = "10m"
    max_lifetime        = "1h"          # spread by up to a tenth, so that connections do not all end at once
    reset               = "smart"       # transaction mode, between clients: smart | always (DISCARD ALL)
    reset_timeout       = "5s"
    max_pinned          = 10            # servers pinned at once; more: ERROR 53300
    login_check         = "10s"         # how old "this role may log in" may be for a new session
    evict_on_drop       = false         # true: DROP or RENAME of a database first closes its idle servers
    prepared_statements = 500           # per server connection
  }
}

#upstream "ledger" {                    # a short-lived certificate CN=<role>, minted per role
  #hosts   = ["127.0.0.1:5433"]
  #ca_file = "pki/postgres-ca.crt"
  #credential "issuer" {
    #cert_file        = "pki/roles-ca.crt"
    #key_file         = "pki/roles-ca.key"
    #lifetime         = "30m"
    #mints_per_minute = 60
  #}
#}
#upstream "legacy" {                    # SCRAM, for servers that cannot take client certificates
  #hosts   = ["127.0.0.1:5434"]
  #ca_file = "pki/postgres-ca.crt"
  #credential "password" {
    #file = "secrets/{role}"            # one file per role; {role} is replaced
  #}
#}

database "orders" {                     # the name that clients connect to
  upstream     = "orders"
  dbname       = "orders"               # the name on the server; default: the same
  identity_key = "secrets/identity.key" # for `stamp` token; DDL: pgsignet sql identity
}
#database "*" {                         # every other name, passed through
  #upstream = "ledger"
#}

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
    #anchor = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" # SHA-256 of the trust anchor
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
#test "the certificate that alice holds" {
  #cert_file = "pki/alice.crt"                  # instead of cert
  #user      = "alice"
  #database  = "orders"
  #expect    = { allow = true, map = "staff", role = "alice" }
#}
test "mallory is not staff" {
  cert     = { email = ["mallory@evil.example.com"] }
  user     = "mallory"
  database = "orders"
  expect   = { allow = false }
}

audit {
  directory           = "audit"
  level               = "statement"             # session | statement | full (with bind parameters)
  delivery            = "best_effort"           # best_effort | strict
  segment_size        = "256MiB"
  segment_age         = "24h"
  max_statement_bytes = "16KiB"
  checkpoint_key      = "pki/audit.key"         # Ed25519, signs the tree heads; made on first start; default: DIRECTORY/audit.key
  redact              = ["[0-9]{13,19}"]        # RE2: what matches in statements and values becomes '***'

  #sink "postgres" {
    #dsn_file = "secrets/audit-dsn"
    #table    = "pgsignet_audit"
  #}
  #sink "syslog" {
    #address   = "tls://127.0.0.1:6514"
    #ca_file   = "pki/logs-ca.crt"
    #cert_file = "pki/broker.crt"               # for a server that asks for a certificate
    #key_file  = "pki/broker.key"
  #}
}

admin {
  address    = "127.0.0.1:9432"                 # /metrics /healthz /readyz; loopback unless TLS is set below
  #cert_file = "pki/admin.crt"
  #key_file  = "pki/admin.key"
  #client_ca = ["pki/admin-ca.crt"]             # mTLS for that address
  socket     = "/run/pgsignet/admin.sock"       # for the CLI; root and our own uid are operator
  database   = "pgsignet"                       # the console's database name, on listeners with admin = true
  locks_file = "locks.json"                     # LOCK CERT outlives a restart
}

log {
  level  = "info"
  format = "json"                               # json | console
}

shutdown {
  drain_timeout   = "30s"
  upgrade_timeout = "10m"                       # how long sessions may stay in the old process; "0s": as they like
}
