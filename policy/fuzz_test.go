package policy_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// FuzzExpression holds expressions in match to their contract: any text compiles or is an error,
// and one that fits covers the whole value as RE2 does by itself.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{"alice", "^(.*)@corp$", "a)|(b", `\Qa.b`, `\Qa.b\E+`, "(?i)K", "(?m)^a$\nb", "a|b", "", "(?:", `\pL+`, "a{1001}", "(a+)+$", "\xff", "x\x00", "(?s).", "a$b", "(?U)a+"} {
		for _, v := range []string{"alice", "a.b", "\u212a", "ab", "a\nb", "\xff", "\uFFFD", ""} {
			f.Add(s, v)
		}
	}
	f.Fuzz(func(t *testing.T, source, value string) {
		p, err := policy.Compile(policy.Config{
			Rules:     []policy.Rule{grants("m", []policy.Condition{{Field: policy.FieldO, Values: []string{"/" + source}}}, "r")},
			Databases: []policy.Database{{Name: "orders", Upstream: "up"}},
		})
		if err != nil {
			var c *policy.CompileError
			if !errors.As(err, &c) {
				t.Fatalf("%q: %v", source, err)
			}
			return
		}
		if value == "" {
			return
		}
		_, err = p.Decide(policy.Request{Identity: &identity.Identity{O: []string{value}}, User: "r", Database: "orders"})
		if got, want := err == nil, covers(t, source, value); got != want && !(foldy(source) && !ascii(value)) {
			t.Fatalf("expression %q, value %q: fits %v, want %v", source, value, got, want)
		}
	})
}

// covers asks RE2 whether the expression covers value, without the engine's short cuts.
func covers(t *testing.T, source, value string) bool {
	if _, err := regexp.Compile(source); err != nil {
		t.Fatalf("%q compiles only when wrapped: %v", source, err)
	}
	if strings.Contains(source, `\Q`) {
		t.Skip("an open quotation would quote the wrapping")
	}
	return regexp.MustCompile(`^(?:` + source + `)\z`).MatchString(value)
}

func foldy(s string) bool { return strings.Contains(s, "i") }

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 && utf8.ValidString(s)
}

// FuzzStrings holds captured text to its contract: whatever a certificate and a client say, the
// role is the user's own name, can be one, and none of PostgreSQL's own.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{"alice", "postgres", "pg_monitor", "", "\x00", "a\x00b", "é", "\xff", `\1`, "$1", "all", "+grp", strings.Repeat("x", 64)} {
		f.Add(s, s)
		f.Add(s, "x_"+s)
	}
	p := mustCompile(f, grants("m", cn("/(?s)(.*)"), `\1`, `x_\1`))
	f.Fuzz(func(t *testing.T, name, user string) {
		r := login(&identity.Identity{CN: name, CNs: []string{name}}, user)
		g, err := p.Decide(r)
		if x := p.Explain(r); (x.Grant == nil) != (g == nil) {
			t.Fatalf("CN %q, user %q: Decide %v, Explain %v", name, user, g, x.Grant)
		}
		if err != nil {
			return
		}
		if g.Role != user || user != name && user != "x_"+name || user == "" || len(user) > 63 ||
			strings.HasPrefix(name, "pg_") || name == "postgres" || strings.HasPrefix(user, "pg_") {
			t.Fatalf("CN %q, user %q: granted %q", name, user, g.Role)
		}
	})
}
