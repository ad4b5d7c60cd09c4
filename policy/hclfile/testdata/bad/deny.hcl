deny "everyone" {
  reason = "by mistake"
}
deny "role" {
  match { cn = "a" }
  role = "a"
}
deny "nobody" {
  match { cn = [] }
  from = []
}
