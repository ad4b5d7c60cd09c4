package policy_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// workload is a set of maps with a login that the last of them grants.
type workload struct {
	name  string
	rule  func(i int) policy.Rule
	login func(n int) policy.Request
}

func login(id *identity.Identity, user string) policy.Request {
	return policy.Request{Identity: id, Listener: "main", Addr: netip.MustParseAddr("10.0.0.1"), User: user, Database: "orders"}
}

// workloads are shapes of real rule files.
var workloads = []workload{
	{"constant", func(i int) policy.Rule {
		return grants(fmt.Sprint(i), cn(fmt.Sprintf("service-%d", i)), "app")
	}, func(n int) policy.Request { return login(named(fmt.Sprintf("service-%d", n-1)), "app") }},
	{"shared issuer", func(i int) policy.Rule {
		return grants(fmt.Sprint(i), []policy.Condition{
			{Field: policy.FieldIssuer, Values: []string{"CN=Clients CA"}},
			{Field: policy.FieldOU, Values: []string{fmt.Sprintf("Team %d", i), "All"}},
			{Field: policy.FieldEmail, Values: []string{`/([a-z]+)@example[.]com`}},
		}, `\1`)
	}, func(n int) policy.Request {
		return login(&identity.Identity{Issuer: "CN=Clients CA", OU: []string{fmt.Sprintf("Team %d", n-1)}, Email: []string{"alice@example.com"}}, "alice")
	}},
	{"expression", func(i int) policy.Rule {
		return grants(fmt.Sprint(i), cn(fmt.Sprintf(`/^([a-z]+)@team%d[.]example[.]com$`, i)), `\1`)
	}, func(n int) policy.Request {
		return login(named(fmt.Sprintf("alice@team%d.example.com", n-1)), "alice")
	}},
	{"same expression", func(i int) policy.Rule {
		return grants(fmt.Sprint(i), cn(`/^([a-z]+)@example[.]com$`), fmt.Sprintf(`app%d_\1`, i))
	}, func(n int) policy.Request {
		return login(named("alice@example.com"), fmt.Sprintf("app%d_alice", n-1))
	}},
	{"same certificates", func(i int) policy.Rule {
		return grants(fmt.Sprint(i), []policy.Condition{
			{Field: policy.FieldIssuer, Values: []string{"CN=Clients CA"}},
			{Field: policy.FieldOU, Values: []string{"Operations"}},
		}, fmt.Sprintf("app%d_rw", i), fmt.Sprintf("app%d_ro", i))
	}, func(n int) policy.Request {
		return login(&identity.Identity{Issuer: "CN=Clients CA", OU: []string{"Operations"}}, fmt.Sprintf("app%d_ro", n-1))
	}},
}

// policyOf compiles n maps of a workload, and as many denies of other certificates.
func policyOf(t testing.TB, w workload, n int) *policy.Policy {
	rules := make([]policy.Rule, 0, 2*n)
	for i := range n {
		rules = append(rules, policy.Rule{Kind: policy.Deny, Name: fmt.Sprint(i),
			Match: []policy.Condition{{Field: policy.FieldSerial, Values: []string{fmt.Sprintf("%x", i+1)}}}})
	}
	for i := range n {
		rules = append(rules, w.rule(i))
	}
	return mustCompile(t, rules...)
}

// BenchmarkDecide is a login against 1 000 maps and 1 000 denies: at most 50 µs.
func BenchmarkDecide(b *testing.B) {
	for _, w := range workloads {
		b.Run("maps="+w.name, func(b *testing.B) {
			p, r := policyOf(b, w, 1000), w.login(1000)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Decide(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRefuse shows that the three reasons take the same time (A105).
func BenchmarkRefuse(b *testing.B) {
	p := policyOf(b, workloads[0], 1000)
	known, stranger := named("service-500"), named("stranger")
	for _, tt := range []struct {
		reason, user, db string
		id               *identity.Identity
	}{
		{"no_map", "app", "orders", stranger},
		{"user_not_granted", "nobody", "orders", known},
		{"database_not_granted", "app", "nosuch", known},
	} {
		b.Run("reason="+tt.reason, func(b *testing.B) {
			r := policy.Request{Identity: tt.id, Listener: "main", User: tt.user, Database: tt.db}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Decide(r); err == nil {
					b.Fatal("granted")
				}
			}
		})
	}
}

// BenchmarkCompile is the checking and compiling of 10 000 maps and as many denies.
func BenchmarkCompile(b *testing.B) {
	for _, w := range workloads {
		b.Run("maps="+w.name, func(b *testing.B) {
			for b.Loop() {
				policyOf(b, w, 10_000)
			}
		})
	}
}
