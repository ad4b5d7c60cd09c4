package policy_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// failing is an expression that cannot be evaluated.
var failing = exprFunc(func(map[string]cty.Value) (cty.Value, error) { return cty.NilVal, errors.New("no") })

// TestFailingExpressionsRefuse: an expression that fails refuses, in a deny as in a map, whatever other rules
// would have granted.
func TestFailingExpressionsRefuse(t *testing.T) {
	good := grants("good", cn("alice"), "alice")
	deny := policy.Rule{Kind: policy.Deny, Name: "d", Match: cn("alice"), When: failing}
	first := grants("first", cn("alice"), "alice")
	first.When = failing
	setting := grants("setting", cn("alice"), "alice")
	setting.Session.Settings = []policy.SettingRule{{Name: "app.x", Value: failing}}
	zero := grants("zero", cn("alice"), "alice")
	zero.Session.Settings = []policy.SettingRule{{Name: "app.x", Value: exprFunc(func(map[string]cty.Value) (cty.Value, error) {
		return cty.StringVal("a\x00b"), nil
	})}}
	for name, rules := range map[string][]policy.Rule{
		"deny": {deny, good}, "map": {first, good}, "setting": {setting}, "zero byte in a setting": {zero},
	} {
		if g, err := mustCompile(t, rules...).Decide(login(named("alice"), "alice")); err == nil {
			t.Errorf("%s: granted %+v", name, g)
		}
	}
}

// TestFromAddresses: a zone is no part of an address, and IPv4 inside IPv6 is IPv4 on both sides.
func TestFromAddresses(t *testing.T) {
	deny := func(from string) *policy.Policy {
		return mustCompile(t, policy.Rule{Kind: policy.Deny, Name: "d", Match: cn("alice"), From: []netip.Prefix{netip.MustParsePrefix(from)}},
			grants("m", cn("alice"), "alice"))
	}
	for _, tt := range []struct {
		from, addr string
		denied     bool
	}{
		{"fe80::/10", "fe80::1%eth0", true},
		{"10.0.0.0/8", "::ffff:10.1.2.3", true},
		{"::ffff:10.0.0.0/104", "10.1.2.3", true},
		{"::ffff:10.0.0.0/104", "11.1.2.3", false},
	} {
		r := login(named("alice"), "alice")
		r.Addr = netip.MustParseAddr(tt.addr)
		if _, err := deny(tt.from).Decide(r); errors.Is(err, policy.ErrDenied) != tt.denied {
			t.Errorf("%s from %s: %v, want denied %t", tt.addr, tt.from, err, tt.denied)
		}
	}
}

// TestT5FlagWithoutLetters: (?i) keeps values with non-ASCII out also where nothing in the expression folds.
func TestT5FlagWithoutLetters(t *testing.T) {
	rehearse(t, mustCompile(t, grants("m", cn("/(?i)4.*"), "app")), []rehearsal{
		{"42", "app", nil}, {"4\u00e9", "app", policy.ErrNoMap},
	})
	rehearse(t, mustCompile(t, grants("m", cn(`/\Qa|b`), "app")), []rehearsal{
		{"a|b", "app", nil}, {"a", "app", policy.ErrNoMap}, {"a|b)", "app", policy.ErrNoMap},
	})
}

// TestStarIsNoDatabase: a client that asks for the database "*" has not asked for all, and a deny on all
// fits on any.
func TestStarIsNoDatabase(t *testing.T) {
	any := grants("m", cn("alice", "mallory"), "alice")
	any.Databases = []string{"*"}
	p, err := policy.Compile(policy.Config{
		Rules:     []policy.Rule{{Kind: policy.Deny, Name: "d", Match: cn("mallory"), Databases: []string{"*"}}, any},
		Databases: []policy.Database{{Name: "*", Upstream: "up"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		id       *identity.Identity
		database string
		want     error
	}{
		{named("alice"), "orders", nil}, {named("alice"), "*", policy.ErrDatabase}, {named("mallory"), "orders", policy.ErrDenied},
	} {
		r := login(tt.id, "alice")
		r.Database = tt.database
		if _, err := p.Decide(r); !errors.Is(err, tt.want) {
			t.Errorf("%s on %q: %v, want %v", tt.id.CN, tt.database, err, tt.want)
		}
	}
}
