# Cases of the attack catalogue: whatever a certificate says is a name and nothing else.

map "anyone" {
  match { cn = "/^(.*)$/" }
  role      = "never: the slash at the end is part of the expression, $1"
  databases = ["orders"]
}
map "whole name" {
  match { cn = "/^((?s).*)$" }
  role      = "$1"
  databases = ["orders"]
}
map "unanchored" {
  match { o = "/alice" }
  role      = "o_alice"
  databases = ["orders"]
}
map "alternatives" {
  match { ou = "/^alice|bob$" }
  role      = "ou_alice"
  databases = ["orders"]
}
map "folded" {
  match { email = "/(?i)[a-z]+@kiss[.]example" }
  role      = "kiss"
  databases = ["orders"]
}
map "slow" {
  match { dns = "/(a+)+$" }
  role      = "slow"
  databases = ["orders"]
}
map "san only" {
  match { uri = "urn:x" }
  role      = "san"
  databases = ["orders"]
}
