# Denies, the door (listeners, from, when), users, databases, and the reason of a refusal.

deny "stolen" {
  match { serial = "4f1c" }
  reason = "reported stolen"
}
deny "contractors at night" {
  match { o = "Contractors" }
  databases = ["orders"]
  listeners = ["main"]
  from      = ["10.0.0.0/8"]
  when      = now.hour < 6 || now.hour >= 20
  reason    = "contractors work from 6 to 20 UTC"
}
deny "banned network" {
  from   = ["203.0.113.0/24"]
  reason = "abuse"
}
deny "mallory" {
  match { cn = "/(?i)mallory" }
}
deny "twin" {
  match { spiffe = "spiffe://prod.example/evil" }
}

map "by day" {
  match { cn = "day" }
  role      = "day"
  databases = ["orders"]
  when      = now.hour >= 6 && now.hour < 20
}
map "weekend" {
  match { cn = "weekend" }
  role      = "weekend"
  databases = ["orders"]
  when      = now.weekday == 0 || now.weekday == 6
}
map "inside" {
  match { cn = "inside" }
  role      = "inside"
  databases = ["orders"]
  from      = ["10.0.0.0/8", "::1"]
}
map "side door" {
  match { cn = "side" }
  role      = "side"
  databases = ["orders"]
  listeners = ["side"]
}
map "first" {
  match { cn = "both" }
  roles     = ["one", "two"]
  databases = ["orders"]
  audit     = "full"
}
map "second" {
  match { cn = "both" }
  roles     = ["two", "three"]
  databases = ["orders", "reports"]
}
map "everywhere" {
  match { cn = "every" }
  role      = "every"
  databases = ["*"]
}
map "fails" {
  match { cn = "fails" }
  role      = "fails"
  databases = ["orders"]
  when      = cert.ou[1] == "x"
}
map "fails too" {
  match { cn = "fails" }
  role      = "fails"
  databases = ["orders"]
}
map "contractor" {
  match { o = "Contractors" }
  role      = "temp"
  databases = ["orders", "reports"]
}
map "any uri" {
  match { uri = "/.*" }
  role      = "uri"
  databases = ["orders"]
}
map "copy" {
  match { cn = "replica" }
  role        = "replicator"
  databases   = ["orders"]
  replication = true
}
map "viewers" {
  match { ou = "Support" }
  admin = "viewer"
}
map "operators" {
  match { ou = "Database Operations" }
  admin     = "operator"
  listeners = ["main"]
}
