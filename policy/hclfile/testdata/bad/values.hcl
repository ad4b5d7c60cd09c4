map "hex" {
  match {
    serial = "4F:1C:2A"
    sha256 = "abc"
    ip     = ["10.0.0.300", "::ffff:10.0.0.1"]
  }
  role      = "app"
  databases = ["orders"]
}
map "names" {
  match {
    dns    = ["*.example.com", "API.example.com"]
    email  = "alice@Example.com"
    spiffe = "spiffe://prod.example"
    dn     = ["CN=alice, O=Example", "cn=alice", "CN=josé"]
    issuer = "/C=DE/CN=Clients CA"
  }
  role      = "app"
  databases = ["orders"]
}
map "empty" {
  match {
    cn        = []
    ou        = ""
    extension = { "1.3.x" = "y" }
  }
  role      = "app"
  databases = ["orders"]
}
map "only a serial number" {
  match { serial = "4f1c" }
  role      = "app"
  databases = ["orders"]
}
