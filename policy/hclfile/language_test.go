package hclfile_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// mapWith is a map on cn = "alice" with more attributes.
func mapWith(more string) string {
	return "map \"m\" {\n  match { cn = \"alice\" }\n  role = \"alice\"\n  databases = [\"orders\"]\n" + more + "\n}\n"
}

func alice() policy.Request {
	return policy.Request{
		Identity: &identity.Identity{CN: "alice", CNs: []string{"alice"}, DN: "CN=alice,OU=a,OU=b", OU: []string{"a", "b"},
			Email: []string{"alice@corp.example"}, Extension: map[string]string{"1.2.3": "payments"}},
		Listener: "main", Addr: netip.MustParseAddr("10.1.2.3"), User: "alice", Database: "orders", ApplicationName: "psql", Now: noon,
	}
}

// TestExactText: text in the file is compared as it is written, in NFD too (T13, A81).
func TestExactText(t *testing.T) {
	const nfc, nfd = "jos\u00e9", "jose\u0301"
	for _, tt := range []struct{ name, literal, fits, unfit string }{
		{"composed", nfc, nfc, nfd},
		{"decomposed", nfd, nfd, nfc},
		{"escape, decomposed", `jose\u0301`, nfd, nfc},
		{"expression, decomposed", "/" + nfd, nfd, nfc},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := compile(t, fmt.Sprintf("map \"m\" {\n match { cn = %s }\n role = \"app\"\n databases = [\"orders\"]\n}\n", `"`+tt.literal+`"`))
			r := alice()
			r.User = "app"
			for cn, want := range map[string]bool{tt.fits: true, tt.unfit: false} {
				r.Identity = &identity.Identity{CN: cn, CNs: []string{cn}}
				if _, err := p.Decide(r); (err == nil) != want {
					t.Errorf("%q on %+q: %v, want %v", tt.literal, cn, err, want)
				}
			}
		})
	}
}

// TestDenyFolds: a deny under (?i) also fits what only Unicode folds; a map does not (T5).
func TestDenyFolds(t *testing.T) {
	const kelvin = "\u212aim"
	for _, tt := range []struct {
		kind string
		fits bool
	}{{"deny", true}, {"map", false}} {
		src := mapWith("")
		if tt.kind == "deny" {
			src += "deny \"d\" {\n match { ou = \"/(?i)kim\" }\n}\n"
		} else {
			src += "map \"k\" {\n match { ou = \"/(?i)kim\" }\n role = \"kim\"\n databases = [\"orders\"]\n}\n"
		}
		x := compile(t, src).Explain(func() policy.Request {
			r := alice()
			r.Identity.OU = []string{kelvin}
			if tt.kind == "map" {
				r.User = "kim"
			}
			return r
		}())
		if got := slices.ContainsFunc(x.Steps, func(s policy.Step) bool { return s.Fits && s.Rule.Name != "m" }); got != tt.fits {
			t.Errorf("%s: fits %v, want %v", tt.kind, got, tt.fits)
		}
	}
}

// TestExpressions evaluates conditions that the manual promises to work.
func TestExpressions(t *testing.T) {
	for _, tt := range []struct {
		when string
		want string // "yes", "no", or part of the error
	}{
		{`cert.cn == "alice"`, "yes"},
		{`lower("ALICE") == cert.cn && upper(cert.cn) == "ALICE"`, "yes"},
		{`trimprefix(cert.dn, "CN=") == "alice,OU=a,OU=b" && trimsuffix(cert.cn, "ce") == "ali"`, "yes"},
		{`replace(cert.cn, "a", "b") == "blice"`, "yes"},
		{`regex("^([a-z]+)@(.+)$", cert.email[0])[1] == "corp.example"`, "yes"},
		{`regex("(?P<who>[a-z]+)@", cert.email[0]).who == "alice"`, "yes"},
		{`can(regex("^b", cert.cn))`, "no"},
		{`contains(cert.ou, "b") && !contains(cert.o, "b")`, "yes"},
		{`startswith(cert.cn, "al") && endswith(cert.cn, "ce")`, "yes"},
		{`join("-", split(",", cert.dn)) == "CN=alice-OU=a-OU=b"`, "yes"},
		{`length(cert.ou) == 2 && length(cert.cn) == 5`, "yes"},
		{`try(cert.dns[0], "none") == "none"`, "yes"},
		{`cidrcontains("10.0.0.0/8", request.address)`, "yes"},
		{`cidrcontains("::ffff:10.0.0.0/104", request.address)`, "no"},
		{`cert.extension["1.2.3"] == "payments"`, "yes"},
		{`cert.extension["1.2.4"] == "payments"`, "Invalid index"},
		{`cert.spiffe == null`, "yes"},
		{`startswith(cert.spiffe, "spiffe://")`, "argument must not be null"},
		{`cert.dns[0] == "x"`, "Invalid index"},
		{`regex("^b", cert.cn) != ""`, "does not match"},
		{`now.hour == 12 && now.weekday == 1 && now.unix == 1795435200`, "yes"},
		{`request.user == "alice" && request.database == "orders"`, "yes"},
		{`[for ou in cert.ou : ou if ou == "a"] == ["a"]`, "yes"},
		{`cert.cn == "alice" ? now.hour > 6 : false`, "yes"},
		{`"${cert.cn}@${request.database}" == "alice@orders"`, "yes"},
	} {
		t.Run(tt.when, func(t *testing.T) {
			_, err := compile(t, mapWith("when = "+tt.when)).Decide(alice())
			var denied *policy.Denied
			errors.As(err, &denied)
			switch {
			case tt.want == "yes" && err == nil:
			case tt.want == "no" && denied != nil && denied.Cause == "":
			case denied != nil && denied.Cause != "" && strings.Contains(denied.Cause, tt.want):
			default:
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestOIDs lists every extension that a rule reads, wherever it does.
func TestOIDs(t *testing.T) {
	p := compile(t, `
deny "d" {
  match { extension = { "1.2.9" = "x" } }
}
map "m" {
  match {
    cn        = "alice"
    extension = { "1.2.3" = "payments", "1.2.4" = "/.*" }
  }
  role      = "alice"
  databases = ["orders"]
  when      = cert.extension["1.2.5"] == "y" || cert.extension["1.2.3"] == "z"
  session { settings = { "app.team" = cert.extension["1.2.6"] } }
}
`)
	if got, want := p.OIDs(), []string{"1.2.3", "1.2.4", "1.2.5", "1.2.6", "1.2.9"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// refusedCert is a certificate that verification refuses.
type refusedCert struct{}

func (refusedCert) Error() string  { return "expired" }
func (refusedCert) Reason() string { return "expired" }

// TestRunTests shows when a test passes.
func TestRunTests(t *testing.T) {
	src := mapWith("") + "map \"other\" {\n match { ou = \"ops\" }\n admin = \"viewer\"\n}\n"
	for _, tt := range []struct{ test, want string }{
		{`cert = { cn = "alice" }` + "\n user = \"alice\"\n database = \"orders\"\n expect = { allow = true, map = \"m\", role = \"alice\" }", ""},
		{`cert = { cn = "alice" }` + "\n user = \"alice\"\n database = \"orders\"\n expect = { allow = true, map = \"n\" }", `not by map "n"`},
		{`cert = { cn = "alice" }` + "\n user = \"alice\"\n database = \"orders\"\n expect = { allow = true, role = \"bob\" }", `not as "bob"`},
		{`cert = { cn = "alice" }` + "\n user = \"alice\"\n database = \"orders\"\n expect = { allow = false }", `granted by map "m"`},
		{`cert = { cn = "bob" }` + "\n user = \"alice\"\n database = \"orders\"\n expect = { allow = true }", "refused: no_map"},
		{`cert = { cn = "bob" }` + "\n user = \"alice\"\n database = \"orders\"\n expect = { allow = false }", ""},
		{`cert = { cn = ["alice", "bob"] }` + "\n user = \"alice\"\n expect = { allow = true }", "ambiguous_identity"},
		{`cert = { ou = "ops" }` + "\n user = \"any\"\n database = \"pgsignet\"\n expect = { allow = true, map = \"other\" }", ""},
		{`cert_file = "good.crt"` + "\n user = \"alice\"\n database = \"orders\"\n expect = { allow = true }", ""},
		{`cert_file = "expired.crt"` + "\n user = \"alice\"\n database = \"orders\"\n expect = { allow = false }", ""},
		{`cert_file = "expired.crt"` + "\n user = \"alice\"\n database = \"orders\"\n expect = { allow = true }", "expired.crt: expired"},
		{`cert_file = "gone.crt"` + "\n user = \"alice\"\n database = \"orders\"\n expect = { allow = false }", "gone.crt: no such file"},
		{`cert = { cn = "alice" }` + "\n user = \"alice\"\n database = \"orders\"\n listener = \"mian\"\n expect = { allow = true }", `no listener "mian"`},
	} {
		t.Run(tt.want, func(t *testing.T) {
			set, diags := decode(t, src+"test \"t\" {\n"+tt.test+"\n}\n")
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			p, err := policy.Compile(config(set))
			if err != nil {
				t.Fatal(err)
			}
			res := policy.RunTests(p, set.Tests, noon, func(file, listener string) (*identity.Identity, error) {
				switch {
				case listener != "main":
					return nil, fmt.Errorf("listener %q", listener)
				case file == "good.crt":
					return alice().Identity, nil
				case file == "expired.crt":
					return nil, refusedCert{}
				}
				return nil, errors.New("no such file")
			})
			if got := fmt.Sprint(res[0].Err); tt.want == "" && res[0].Err != nil || !strings.Contains(got, tt.want) {
				t.Errorf("got %v, want %q", res[0].Err, tt.want)
			}
		})
	}
}

// TestConcurrent decides by one policy from many goroutines.
func TestConcurrent(t *testing.T) {
	p := compile(t, mapWith(`when = can(regex("^al", cert.cn)) && can(regex(request.application_name, "x1"))`+"\n  session { settings = { \"app.who\" = cert.cn } }"))
	var workers sync.WaitGroup
	for n := range 8 {
		workers.Go(func() {
			for i := range 200 {
				r := alice()
				r.ApplicationName = fmt.Sprintf("x%d", i%3)
				want := i%3 == 1
				if n%2 == 0 {
					r.Identity = &identity.Identity{CN: "bob", CNs: []string{"bob"}}
					want = false
				}
				if g, err := p.Decide(r); (err == nil) != want || g != nil && g.Session.Settings[0].Value != "alice" {
					t.Errorf("%q as %q: %v, %v", r.Identity.CN, r.ApplicationName, g, err)
				}
			}
		})
	}
	workers.Wait()
}
