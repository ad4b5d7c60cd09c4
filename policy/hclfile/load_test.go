package hclfile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/hclfile"
)

// manyMaps writes n maps of the kinds that rule files hold.
func manyMaps(n int) []byte {
	var b strings.Builder
	for i := range n {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, "map \"team %d\" {\n  match { email = \"/^([a-z]+)@team%d[.]example[.]com$\" }\n  role = \"$1\"\n  databases = [\"orders\"]\n}\n", i, i)
		case 1:
			fmt.Fprintf(&b, "map \"service %d\" {\n  match {\n    spiffe = \"spiffe://prod.example/ns/n%d/sa/api\"\n    issuer = \"CN=Clients CA\"\n  }\n  roles = [\"app%d_rw\", \"app%d_ro\"]\n  databases = [\"orders\"]\n  from = [\"10.0.0.0/8\"]\n  when = now.hour >= 6 && now.hour < 20\n  limits { sessions = 50 }\n  session {\n    statement_timeout = \"30s\"\n    settings = { \"app.caller\" = cert.spiffe }\n  }\n}\n", i, i, i, i)
		case 2:
			fmt.Fprintf(&b, "map \"person %d\" {\n  match { cn = [\"person%d\", \"person%d-laptop\"] }\n  role = \"person%d\"\n  databases = [\"*\"]\n}\n", i, i, i, i)
		default:
			fmt.Fprintf(&b, "deny \"lost %d\" {\n  match { serial = \"%x\" }\n  reason = \"lost\"\n}\n", i, i+1)
		}
	}
	return []byte(b.String())
}

// load parses, decodes, checks and compiles.
func loadText(t testing.TB, src []byte) *policy.Policy {
	parser := hclparse.NewParser()
	f, diags := parser.ParseHCL(src, "many.hcl")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	set, diags := hclfile.Decode(f.Body, parser.Files())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	p, err := policy.Compile(config(set))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// BenchmarkLoad is a file of 10 000 rules, from text to policy: at most 2 s.
func BenchmarkLoad(b *testing.B) {
	src := manyMaps(10_000)
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		loadText(b, src)
	}
}
