package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/policy"
)

// rehearse holds p to who may log in as whom; every refusal has a reason.
func rehearse(t *testing.T, p *policy.Policy, cases []rehearsal) {
	t.Helper()
	for _, tt := range cases {
		r := login(named(tt.cn), tt.user)
		g, err := p.Decide(r)
		if !errors.Is(err, tt.want) {
			t.Errorf("CN %q as %q: %v, %v, want %v", tt.cn, tt.user, g, err, tt.want)
		}
		if err == nil && g.Role != tt.user {
			t.Errorf("CN %q: granted %q, want %q", tt.cn, g.Role, tt.user)
		}
	}
}

type rehearsal struct {
	cn, user string
	want     error
}

// A87, T4: an expression fits the whole value or not at all.
func TestA87WholeValue(t *testing.T) {
	rehearse(t, mustCompile(t, grants("m", cn("/alice"), "app")), []rehearsal{
		{"alice", "app", nil}, {"malice", "app", policy.ErrNoMap}, {"alice.evil", "app", policy.ErrNoMap}, {"alice\n", "app", policy.ErrNoMap},
	})
}

// A88, T4: that includes each side of an alternation.
func TestA88Alternation(t *testing.T) {
	rehearse(t, mustCompile(t, grants("m", cn("/^alice|bob$"), "app")), []rehearsal{
		{"alice", "app", nil}, {"bob", "app", nil},
		{"alice.evil", "app", policy.ErrNoMap}, {"evil.bob", "app", policy.ErrNoMap}, {"alicebob", "app", policy.ErrNoMap},
	})
}

// A89, T5: letters that fold to ASCII are not ASCII.
func TestA89Folding(t *testing.T) {
	rehearse(t, mustCompile(t, grants("m", cn("/(?i)kiss"), "app")), []rehearsal{
		{"kiss", "app", nil}, {"KISS", "app", nil}, {"\u212aiss", "app", policy.ErrNoMap}, {"ki\u017fs", "app", policy.ErrNoMap},
	})
}

// A90, T8: a capture that took no part, or is empty, makes no role.
func TestA90NoCapture(t *testing.T) {
	rehearse(t, mustCompile(t, grants("m", cn("/^svc(-[a-z]+)?([0-9]*)$"), `\1`), grants("n", cn("/^svc()$"), `x\1`)), []rehearsal{
		{"svc-web", "-web", nil}, {"svc", "svc", policy.ErrNoMap}, {"svc", "x", policy.ErrNoMap}, {"svc", `\1`, policy.ErrNoMap},
	})
}

// A91, T9: captured names of superusers make no role; written out they do.
func TestA91ReservedCaptures(t *testing.T) {
	p := mustCompile(t, grants("any", cn("/^(.*)$"), `\1`), grants("dba", cn("the dba"), "postgres"))
	cases := []rehearsal{{"alice", "alice", nil}, {"pgalice", "pgalice", nil}, {"the dba", "postgres", nil}}
	for _, name := range []string{
		"postgres", "pg_monitor", "pg_read_all_data", "pg_", "rds_superuser", "rdsadmin", "cloudsqlsuperuser", "azure_pg_admin", "alloydbsuperuser",
	} {
		cases = append(cases, rehearsal{name, name, policy.ErrNoMap})
	}
	rehearse(t, p, cases)
}

// A92: an expression that explodes elsewhere is linear here; one that RE2 finds too large does not load.
func TestA92Expressions(t *testing.T) {
	p := mustCompile(t, grants("a", cn("/(a+)+$"), "app"), grants("b", cn("/(a|aa)*b"), "app"), grants("c", cn("/(.*)(.*)(.*)(.*)(.*)x"), "app"))
	began := time.Now()
	rehearse(t, p, []rehearsal{{strings.Repeat("a", 1023) + "!", "app", policy.ErrNoMap}})
	if took := time.Since(began); took > 20*time.Second { // the exponential one takes ages
		t.Errorf("took %v", took)
	}
	for _, huge := range []string{"/((a{100}){100}){100}", "/" + strings.Repeat("(", 2000) + strings.Repeat(")", 2000)} {
		_, err := policy.Compile(policy.Config{
			Rules:     []policy.Rule{grants("m", cn(huge), "app")},
			Databases: []policy.Database{{Name: "orders", Upstream: "up"}}, Listeners: []policy.Listener{{Name: "main"}},
		})
		if err == nil {
			t.Errorf("%.30s… loads", huge)
		}
	}
}

// A104: the user that is asked for must be the role that is granted.
func TestA104OtherUser(t *testing.T) {
	rehearse(t, mustCompile(t, grants("m", cn("alice"), "alice", "reader")), []rehearsal{
		{"alice", "alice", nil}, {"alice", "reader", nil},
		{"alice", "bob", policy.ErrUser}, {"alice", "Alice", policy.ErrUser}, {"alice", "alice ", policy.ErrUser},
	})
}
