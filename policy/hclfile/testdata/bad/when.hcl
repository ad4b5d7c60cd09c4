map "misspelt" {
  match { cn = "a" }
  role      = "a"
  databases = ["orders"]
  when      = nwo.hour > 6
}
map "no such field" {
  match { cn = "b" }
  role      = "b"
  databases = ["orders"]
  when      = cert.common_name == "b"
}
map "not a boolean" {
  match { cn = "c" }
  role      = "c"
  databases = ["orders"]
  when      = regex("^a", cert.dn)
}
map "never" {
  match { cn = "d" }
  role      = "d"
  databases = ["orders"]
  when      = now.weekday == "Monday"
}
map "client-chosen" {
  match { cn = "e" }
  role      = "e"
  databases = ["orders"]
  when      = request.application_name == "psql"
}
map "no such function" {
  match { cn = "f" }
  role      = "f"
  databases = ["orders"]
  when      = file("/etc/passwd") == ""
}
map "bad expression" {
  match { cn = "g" }
  role      = "g"
  databases = ["orders"]
  when      = can(cert.cn) && regex("(", cert.cn) == ""
}
deny "never" {
  when = false
}
