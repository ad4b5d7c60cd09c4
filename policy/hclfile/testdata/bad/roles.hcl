map "no role" {
  match { cn = "a" }
  databases = ["orders"]
}
map "no databases" {
  match { cn = "b" }
  role = "b"
}
map "no match" {
  role      = "c"
  databases = ["orders"]
}
map "long" {
  match { cn = "d" }
  role      = "a234567890123456789012345678901234567890123456789012345678901234"
  databases = ["orders"]
}
map "assume many" {
  match { cn = "e" }
  assume    = true
  roles     = ["a", "b"]
  databases = ["orders"]
}
map "superuser" {
  match { cn = "f" }
  roles     = ["postgres", "all"]
  databases = ["orders"]
}
map "console" {
  match { cn = "g" }
  admin     = "root"
  role      = "g"
  databases = ["pgsignet"]
}
map "console as a database" {
  match { cn = "h" }
  role      = "h"
  databases = ["pgsignet"]
}
