# Captures, assume, and what a map sets for its sessions.

map "two captures" {
  match { dn = "/CN=([a-z]+),OU=([a-z]*)" }
  roles     = ["\\1", "$2_$1", "app_\\1"]
  databases = ["orders"]
}
map "optional" {
  match { cn = "/^opt-([a-z]+)(?:-([a-z]+))?$" }
  role      = "\\2"
  databases = ["orders"]
}
map "optional, behind" {
  match { cn = "/^opt-([a-z]+)(?:-[a-z]+)?$" }
  role      = "\\1"
  databases = ["orders"]
}
map "assumed" {
  match { extension = { "1.3.6.1.4.1.55555.1.1" = "payments" } }
  assume    = true
  role      = "payments_ro"
  databases = ["*"]
}
map "assumed capture" {
  match { dns = "/([a-z0-9-]+)[.]svc[.]example" }
  assume    = true
  role      = "svc-\\1"
  databases = ["orders"]
}
map "literal names" {
  match { cn = "all" }
  roles     = ["all", "+grp", "/re", "a$$1", "Mixed Case", "postgres"]
  databases = ["orders"]
}
map "everything set" {
  match { spiffe = "spiffe://prod.example/full" }
  role             = "full"
  databases        = ["orders"]
  pool_mode        = "transaction"
  audit            = "full"
  replication      = true
  fingerprint_only = true
  limits {
    sessions     = 50
    map_sessions = 500
    pool         = 10
  }
  session {
    read_only         = true
    statement_timeout = "30s"
    idle_timeout      = "15m"
    max_duration      = "8h"
    settings = {
      "work_mem"   = "64MB"
      "app.caller" = cert.spiffe
      "app.first"  = "${upper(request.user)}@${request.database}"
      "app.port"   = 5432
    }
    stamp = ["identity", "token"]
  }
}
map "no stamp" {
  match { cn = "plain" }
  role      = "plain"
  databases = ["orders"]
  session {
    stamp    = []
    settings = { "app.name" = request.application_name }
  }
}
map "needs spiffe" {
  match { cn = "needs" }
  role      = "needs"
  databases = ["orders"]
  session { settings = { "app.caller" = cert.spiffe } }
}
map "functions" {
  match { cn = "fn" }
  role      = "fn"
  databases = ["orders"]
  when = (startswith(request.user, "f") && endswith(request.user, "n") && contains(cert.ou, "A")
    && can(regex("^[a-z]+@(corp)$", cert.email[0])) && cidrcontains("10.0.0.0/8", request.address)
  && length(split(",", join(",", cert.ou))) == 2 && try(cert.dns[5], "none") == "none")
}
