map "open" {
  match { cn = "/^([a-z]+$" }
  role      = "$1"
  databases = ["orders"]
}
map "mended by brackets" {
  match { cn = "/a)|(b" }
  role      = "ab"
  databases = ["orders"]
}
map "look-ahead" {
  match { cn = "/(?!admin)[a-z]+" }
  role      = "app"
  databases = ["orders"]
}
map "too large" {
  match { cn = "/(((a{100}){100}){100})" }
  role      = "app"
  databases = ["orders"]
}
map "slash at the end" {
  match { cn = "/[a-z]+/" }
  role      = "app"
  databases = ["orders"]
}
