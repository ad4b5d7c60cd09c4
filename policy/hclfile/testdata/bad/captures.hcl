map "none" {
  match { cn = "/[a-z]+" }
  role      = "\\1"
  databases = ["orders"]
}
map "too few" {
  match { cn = "/([a-z]+)-x" }
  roles     = ["app", "$1_$2"]
  databases = ["orders"]
}
map "two expressions" {
  match {
    cn = "/([a-z]+)-y"
    ou = "/(.*)"
  }
  role      = "$1"
  databases = ["orders"]
}
