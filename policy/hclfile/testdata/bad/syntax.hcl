map "staff" {
  match { cn = "alice"
  role = "alice"
}
