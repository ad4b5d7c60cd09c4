map "staff" {
  match { email = "/^([a-z]+)@example\.com$" }
  role      = "\1"
  databases = ["orders"]
}
