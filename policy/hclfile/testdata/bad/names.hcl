map "staff" {
  match { comon_name = "alice" }
  rol       = "alice"
  databases = ["order"]
  listeners = ["mian"]
}
map "staff" {
  match { cn = "bob" }
  role      = "bob"
  databases = ["orders"]
}
maps "x" {}
map {
  match { cn = "x" }
}
