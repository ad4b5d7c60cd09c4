deny "contractors" {
  match { o = ["Contractors", "Temps"] }
}
map "contractor" {
  match {
    o  = "Contractors"
    cn = "carl"
  }
  role      = "carl"
  databases = ["orders"]
}
map "everyone" {
  match { cn = "/^([a-z]+)$" }
  role      = "$1"
  databases = ["orders"]
}
map "alice" {
  match { cn = "alice" }
  role      = "alice"
  databases = ["orders"]
}
map "alice and more" {
  match { cn = ["alice", "Alice"] }
  roles     = ["alice"]
  databases = ["orders"]
}
map "team" {
  match { ou = "Team" }
  roles     = ["team_ro", "team_rw"]
  databases = ["*"]
  from      = ["10.0.0.0/8"]
}
map "team lead" {
  match {
    ou = "Team"
    cn = "lead"
  }
  roles     = ["team_rw"]
  databases = ["orders"]
}
map "team at headquarters" {
  match { ou = "Team" }
  roles     = ["team_rw"]
  databases = ["orders"]
  from      = ["10.1.0.0/16"]
  listeners = ["main"]
}
