test "nothing" {}
test "two certificates" {
  cert      = { cn = "a" }
  cert_file = "a.crt"
  expect    = { allow = true }
}
test "fields" {
  cert   = { common_name = "a", ip = "localhost", spiffe = "spiffe://a/b", uri = "urn:x" }
  from   = "localhost"
  at     = "noon"
  expect = { alow = true }
}
test "refusal with a map" {
  cert   = { cn = "a" }
  expect = { allow = false, map = "x" }
}
