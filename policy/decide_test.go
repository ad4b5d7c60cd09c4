package policy_test

import (
	"errors"
	"testing"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// cn is a match on the common name.
func cn(values ...string) []policy.Condition {
	return []policy.Condition{{Field: policy.FieldCN, Values: values}}
}

// grants is a map that matches cn and grants roles on database "orders".
func grants(name string, match []policy.Condition, roles ...string) policy.Rule {
	return policy.Rule{Kind: policy.Map, Name: name, Match: match, Roles: roles, Databases: []string{"orders"}}
}

func mustCompile(t testing.TB, rules ...policy.Rule) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(policy.Config{
		Rules:          rules,
		Databases:      []policy.Database{{Name: "orders", Upstream: "up", DBName: "orders_db"}, {Name: "other", Upstream: "up"}},
		AdminDatabases: []string{"pgsignet"},
		Listeners:      []policy.Listener{{Name: "main", Admin: true}, {Name: "side"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func named(names ...string) *identity.Identity {
	id := &identity.Identity{CNs: names, DN: "CN=" + names[0], Ambiguous: len(names) > 1}
	if len(names) == 1 {
		id.CN = names[0]
	}
	return id
}

// TestReasons holds the audited reason to how far the best map came.
func TestReasons(t *testing.T) {
	p := mustCompile(t,
		policy.Rule{Kind: policy.Deny, Name: "thief", Match: cn("mallory"), Reason: "stolen"},
		grants("staff", cn("/^([a-z]+)@corp$"), `\1`),
		grants("bob", cn("bob"), "bob_rw", "bob_ro"),
	)
	for _, tt := range []struct {
		name     string
		id       *identity.Identity
		user, db string
		want     error
	}{
		{"granted", named("bob"), "bob_ro", "orders", nil},
		{"capture", named("alice@corp"), "alice", "orders", nil},
		{"stranger", named("eve"), "eve", "orders", policy.ErrNoMap},
		{"other user", named("bob"), "bob", "orders", policy.ErrUser},
		{"configured but not granted", named("bob"), "bob_rw", "other", policy.ErrDatabase},
		{"unknown database", named("bob"), "bob_rw", "nosuch", policy.ErrDatabase},
		{"no database is the user's name", named("bob"), "bob_rw", "", policy.ErrDatabase},
		{"denied", named("mallory"), "x", "orders", policy.ErrDenied},
		{"deny fits any of several names (T18)", named("bob", "mallory"), "x", "orders", policy.ErrDenied},
		{"several names (T18)", named("bob", "alice"), "bob_rw", "orders", policy.ErrAmbiguous},
		{"reserved capture (T9)", named("postgres@corp"), "postgres", "orders", policy.ErrNoMap},
		{"no identity at all", nil, "bob_rw", "orders", policy.ErrNoMap},
		{"empty user", named("bob"), "", "orders", policy.ErrRoleName},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := p.Decide(policy.Request{Identity: tt.id, Listener: "main", User: tt.user, Database: tt.db})
			if !errors.Is(err, tt.want) || (g == nil) != (err != nil) {
				t.Fatalf("Decide(%v, %q, %q) = %v, %v; want %v", tt.id, tt.user, tt.db, g, err, tt.want)
			}
		})
	}
}
