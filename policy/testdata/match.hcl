# Every attribute of match, as a constant, as a list and as an expression.

map "cn" {
  match { cn = "alice" }
  role      = "alice"
  databases = ["orders"]
}
map "cn list" {
  match { cn = ["bob", "/^team-[a-z]+$"] }
  roles     = ["bob", "team"]
  databases = ["orders"]
}
map "o" {
  match { o = "Acme" }
  role      = "acme"
  databases = ["orders"]
}
map "ou" {
  match { ou = "/(?i)database .*/" }
  role      = "unfit"
  databases = ["orders"]
}
map "ou folded" {
  match { ou = "/(?i)kernel" }
  role      = "kernel"
  databases = ["orders"]
}
map "dn" {
  match { dn = "CN=jos\\C3\\A9,O=Example" }
  role      = "jose"
  databases = ["orders"]
}
map "email" {
  match { email = "/^([a-z]+)@example[.]com$" }
  role      = "\\1"
  databases = ["orders"]
}
map "dns" {
  match { dns = ["api.example", "/[a-z0-9-]+[.]pool[.]example"] }
  role      = "api"
  databases = ["orders"]
}
map "uri" {
  match { uri = "urn:app:billing" }
  role      = "uri"
  databases = ["orders"]
}
map "ip" {
  match { ip = ["192.0.2.7", "2001:db8::/32", "/198[.]51[.].*"] }
  role      = "host"
  databases = ["orders"]
}
map "spiffe" {
  match { spiffe = "spiffe://prod.example/ns/billing/sa/api" }
  role      = "billing"
  databases = ["orders"]
}
map "serial and issuer" {
  match {
    serial = "4f1c2ab0"
    issuer = "CN=Clients CA"
  }
  role      = "by_serial"
  databases = ["orders"]
}
map "sha256" {
  match { sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }
  role      = "pinned"
  databases = ["orders"]
}
map "spki" {
  match { spki_sha256 = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752" }
  role      = "keyed"
  databases = ["orders"]
}
map "anchor" {
  match {
    anchor = "fd61a03af4f77d870fc21e05e7e80678095c92d808cfb3b5c279ee04c74aca13"
    cn     = "carol"
  }
  role      = "carol"
  databases = ["orders"]
}
map "extension" {
  match { extension = { "1.3.6.1.4.1.55555.1.1" = ["payments", "/^pay-(.+)$"] } }
  role      = "payments"
  databases = ["orders"]
}
