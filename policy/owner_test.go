package policy_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// TestT93OwnersWithoutSubject: certificates with an empty subject are different owners: they do not share
// limits, a pool under `share = "identity"` or what a token says. A renewed one is the same owner.
func TestT93OwnersWithoutSubject(t *testing.T) {
	p := mustCompile(t, policy.Rule{
		Kind: policy.Map, Name: "mail", Roles: []string{"app"}, Databases: []string{"orders"},
		Match: []policy.Condition{{Field: policy.FieldEmail, Values: []string{"/.*"}}},
	}, policy.Rule{
		Kind: policy.Map, Name: "team", Roles: []string{"app"}, Databases: []string{"orders"},
		Match: []policy.Condition{{Field: policy.FieldExtension, OID: "1.2.3", Values: []string{"payments"}}},
	})
	owner := func(id identity.Identity) string {
		t.Helper()
		g, err := p.Decide(policy.Request{Identity: &id, User: "app", Database: "orders"})
		if err != nil {
			t.Fatal(err)
		}
		return g.IdentityKey
	}
	team := map[string]string{"1.2.3": "payments"}
	many := make([]string, 64)
	for i := range many {
		many[i] = strings.Repeat("a", 60) + ".example"
	}
	cases := []struct {
		name string
		id   identity.Identity
		want string // "": any
	}{
		{"DN", identity.Identity{DN: "CN=alice", Email: []string{"alice@a.example"}, SPKISHA256: "11"}, "CN=alice"},
		{"SPIFFE", identity.Identity{DN: "CN=alice", SPIFFE: "spiffe://a/b", Email: []string{"alice@a.example"}}, "spiffe://a/b"},
		{"alice", identity.Identity{Email: []string{"alice@a.example"}, SPKISHA256: "22"}, "email:alice@a.example"},
		{"bob", identity.Identity{Email: []string{"bob@a.example"}, SPKISHA256: "22"}, "email:bob@a.example"},
		{"two names", identity.Identity{Email: []string{"bob@a.example"}, DNS: []string{"a.example"}, IP: []netip.Addr{netip.MustParseAddr("::1")}},
			"email:bob@a.example,dns:a.example,ip:::1"},
		{"a comma in a URI", identity.Identity{Email: []string{"bob@a.example"}, URI: []string{"x:,dns:a.example"}},
			`email:bob@a.example,uri:x:\,dns:a.example`},
		{"a backslash at the end of one of two", identity.Identity{Email: []string{"bob@a.example"}, URI: []string{`x:\`, "x:b"}},
			`email:bob@a.example,uri:x:\\,uri:x:b`},
		{"what looks like both", identity.Identity{Email: []string{"bob@a.example"}, URI: []string{"x:,uri:x:b"}},
			`email:bob@a.example,uri:x:\,uri:x:b`},
		{"no name", identity.Identity{Extension: team, SPKISHA256: "33"}, "spki_sha256:33"},
		{"no name, other key", identity.Identity{Extension: team, SPKISHA256: "44"}, "spki_sha256:44"},
		{"many names", identity.Identity{Email: []string{"bob@a.example"}, DNS: many}, ""},
		{"many others", identity.Identity{Email: []string{"bob@a.example"}, DNS: many[:63]}, ""},
	}
	seen := map[string]string{}
	for _, tt := range cases {
		got := owner(tt.id)
		if tt.want != "" && got != tt.want {
			t.Errorf("%s: owner %q, want %q", tt.name, got, tt.want)
		}
		if other, twice := seen[got]; twice || got == "" || len(got) > 1<<10 {
			t.Errorf("%s: owner %q, also that of %q", tt.name, got, other)
		}
		seen[got] = tt.name
		renewed := tt.id
		renewed.Serial, renewed.SHA256 = "99", "99"
		if again := owner(renewed); again != got {
			t.Errorf("%s: owner %q, renewed %q", tt.name, got, again)
		}
	}
}
