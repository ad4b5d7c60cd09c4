package e2e

import (
	"os"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(floodJob); job != "" {
		os.Exit(floodMain(job))
	}
	os.Exit(Main(m))
}

// people is a policy for most tests: whoever has a certificate may log in under its common name.
const people = `
map "people" {
  match { cn = "/^([a-z_]+)$" }
  role      = "$1"
  databases = ["orders", "stock"]
}
map "billing" {
  match { ou = "Billing" }
  roles     = ["billing_rw", "billing_ro"]
  databases = ["orders"]
}
`

func shapeO(o string) pki.Shape { return pki.Shape{O: []string{o}, CN: "a member of " + o} }
