# null is no way to leave a condition out: what a template had nothing to fill in would let more fit.
map "orders" {
  match {
    cn = "/^[a-z]+$"
    ou = null
  }
  role      = "orders"
  databases = ["orders"]
  from      = null
  when      = null

  session {
    read_only = null
  }
}
deny "lost" {
  match { sha256 = null }
  from = ["10.0.0.0/8"]
}
