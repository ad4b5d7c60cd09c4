package hclfile_test

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/hclfile"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// noon is the time of tests: a Monday.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// noCert is for tests without cert_file.
func noCert(string, string) (*identity.Identity, error) { return nil, os.ErrNotExist }

// decode reads HCL text, with positions in test.hcl.
func decode(t testing.TB, src string) (*hclfile.RuleSet, hcl.Diagnostics) {
	t.Helper()
	p := hclparse.NewParser()
	f, diags := p.ParseHCL([]byte(src), "test.hcl")
	if diags.HasErrors() {
		return &hclfile.RuleSet{}, hclfile.ExplainEscapes(diags)
	}
	return hclfile.Decode(f.Body, p.Files())
}

// compile is decode and policy.Compile, with database "orders" and listener "main".
func compile(t testing.TB, src string) *policy.Policy {
	t.Helper()
	set, diags := decode(t, src)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	p, err := policy.Compile(config(set))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func config(set *hclfile.RuleSet) policy.Config {
	return policy.Config{
		Rules:          set.Rules,
		Databases:      []policy.Database{{Name: "orders", Upstream: "orders"}},
		AdminDatabases: []string{"pgsignet", "pgbouncer"},
		Listeners:      []policy.Listener{{Name: "main", Admin: true}},
	}
}

// TestReferenceStyle decides logins by the rules that the manual shows.
func TestReferenceStyle(t *testing.T) {
	src, err := os.ReadFile("testdata/reference.hcl")
	if err != nil {
		t.Fatal(err)
	}
	set, diags := decode(t, string(src))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	p, err := policy.Compile(config(set))
	if err != nil {
		t.Fatal(err)
	}
	load := func(string, string) (*identity.Identity, error) {
		return &identity.Identity{Email: []string{"alice@example.com"}}, nil
	}
	results := policy.RunTests(p, set.Tests, noon, load)
	if len(results) != 4 {
		t.Fatalf("got %d tests, want 4", len(results))
	}
	for _, r := range results {
		if r.Err != nil {
			t.Errorf("test %q: %v", r.Test.Name, r.Err)
		}
	}
	g, err := p.Decide(policy.Request{
		Identity: &identity.Identity{SPIFFE: "spiffe://prod.example/ns/billing/sa/api", Issuer: "CN=Clients CA"},
		Listener: "main", Addr: netip.MustParseAddr("::ffff:10.1.2.3"), User: "billing_rw", Database: "orders", Now: noon,
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := g.Session.Settings; len(s) != 1 || s[0].Value != "spiffe://prod.example/ns/billing/sa/api" {
		t.Errorf("settings: got %v", s)
	}
}
