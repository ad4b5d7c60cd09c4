package policy_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
	"github.com/zclconf/go-cty/cty"
	"pgregory.net/rapid"
)

// exprFunc is an expression written in Go.
type exprFunc func(vars map[string]cty.Value) (cty.Value, error)

func (f exprFunc) Eval(vars map[string]cty.Value) (cty.Value, error) { return f(vars) }

// Small worlds, so that rules and logins often meet.
var (
	someNames     = []string{"alice", "bob", "al", "postgres", "alice@corp", "bob@corp", "pg_x", "José"}
	someValues    = append([]string{"/^([a-z]+)@corp$", "/^(a)?(.*)$", "/al.*", "/(?i)ALICE", "/.*", "/([a-z_]+)", "/^(?:alice|bob)$"}, someNames...)
	someRoles     = []string{"alice", "bob", "postgres", `\1`, "$2", `x_\1`}
	someDatabases = []string{"orders", "other", "*"}
	someFields    = []policy.Field{policy.FieldCN, policy.FieldOU, policy.FieldEmail, policy.FieldURI, policy.FieldSPIFFE, policy.FieldExtension}
	somePrefixes  = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::/0")}
	someExprs     = []policy.Expr{
		nil, nil, nil,
		exprFunc(func(map[string]cty.Value) (cty.Value, error) { return cty.False, nil }),
		exprFunc(func(map[string]cty.Value) (cty.Value, error) { return cty.NilVal, errors.New("no") }),
		exprFunc(func(v map[string]cty.Value) (cty.Value, error) {
			return v["request"].GetAttr("user").Equals(cty.StringVal("alice")), nil
		}),
		exprFunc(func(map[string]cty.Value) (cty.Value, error) { return cty.UnknownVal(cty.Bool), nil }),
	}
)

func someOf[T any](t *rapid.T, label string, from []T, least, most int) []T {
	return rapid.SliceOfN(rapid.SampledFrom(from), least, most).Draw(t, label)
}

func drawRule(t *rapid.T, i int) policy.Rule {
	r := policy.Rule{Kind: policy.Map, Name: fmt.Sprint(i), File: "f", Line: i + 1, When: rapid.SampledFrom(someExprs).Draw(t, "when")}
	for _, f := range someOf(t, "fields", someFields, 1, 2) {
		c := policy.Condition{Field: f, Values: someOf(t, "values", someValues, 1, 3)}
		if f == policy.FieldSPIFFE {
			c.Values = []string{"spiffe://a/x"}
		}
		if f == policy.FieldEmail {
			c.Values = []string{"/^([a-z]+)@corp$", "alice@corp"}
		}
		if f == policy.FieldExtension {
			c.OID = "1.2.3"
		}
		r.Match = append(r.Match, c)
	}
	r.From = someOf(t, "from", somePrefixes, 0, 1)
	r.Listeners = someOf(t, "listeners", []string{"main", "side"}, 0, 1)
	if len(r.From) == 0 {
		r.From = nil
	}
	if len(r.Listeners) == 0 {
		r.Listeners = nil
	}
	return shape(t, r)
}

// shape makes a rule a deny, an admin map or a map.
func shape(t *rapid.T, r policy.Rule) policy.Rule {
	switch rapid.IntRange(0, 9).Draw(t, "shape") {
	case 0:
		r.Kind = policy.Deny
		return r
	case 1:
		r.Admin = "viewer"
		return r
	case 2:
		r.Assume, r.Role = true, rapid.SampledFrom(someRoles).Draw(t, "role")
	default:
		r.Roles = someOf(t, "roles", someRoles, 1, 2)
	}
	r.Databases = someOf(t, "databases", someDatabases, 1, 2)
	r.Replication = rapid.Bool().Draw(t, "replication")
	return r
}

func drawLogin(t *rapid.T) policy.Request {
	id := &identity.Identity{CNs: someOf(t, "cn", someNames, 0, 2), OU: someOf(t, "ou", someNames, 0, 2),
		Email: someOf(t, "email", someNames, 0, 2), URI: someOf(t, "uri", someNames, 0, 2), DN: "CN=x"}
	if len(id.CNs) == 1 {
		id.CN = id.CNs[0]
	}
	id.Ambiguous = len(id.CNs) > 1
	if rapid.Bool().Draw(t, "spiffe") {
		id.SPIFFE = "spiffe://a/x"
	}
	if rapid.Bool().Draw(t, "extension") {
		id.Extension = map[string]string{"1.2.3": rapid.SampledFrom(someNames).Draw(t, "value")}
	}
	return policy.Request{
		Identity: id, Listener: rapid.SampledFrom([]string{"main", "side"}).Draw(t, "listener"),
		Addr:        netip.MustParseAddr(rapid.SampledFrom([]string{"10.1.2.3", "::ffff:10.1.2.3", "192.0.2.1", "::1"}).Draw(t, "addr")),
		User:        rapid.SampledFrom(append([]string{"x_alice", ""}, someNames...)).Draw(t, "user"),
		Database:    rapid.SampledFrom([]string{"orders", "other", "nosuch", "pgsignet", ""}).Draw(t, "db"),
		Replication: rapid.IntRange(0, 4).Draw(t, "replication") == 0,
		Now:         time.Unix(1_000_000, 0),
	}
}

// drawPolicy compiles the rules that pass Check out of some drawn ones.
func drawPolicy(t *rapid.T) *policy.Policy {
	c := policy.Config{
		Databases: []policy.Database{{Name: "orders", Upstream: "up"}, {Name: "other", Upstream: "up", DBName: "o"}}, AdminDatabases: []string{"pgsignet"},
		Listeners: []policy.Listener{{Name: "main", Admin: true}, {Name: "side"}},
	}
	for i := range rapid.IntRange(1, 12).Draw(t, "rules") {
		c.Rules = append(c.Rules, drawRule(t, i))
		for _, f := range policy.Check(c) {
			if f.Severity == policy.Error {
				c.Rules = c.Rules[:len(c.Rules)-1]
				break
			}
		}
	}
	p, err := policy.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestExplainIsDecide holds Explain to Decide: the verdict, the reason, the rule, and that the
// steps tell the same story.
func TestExplainIsDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, r := drawPolicy(t), drawLogin(t)
		for range 3 {
			g, err := p.Decide(r)
			x := p.Explain(r)
			var denied *policy.Denied
			errors.As(err, &denied)
			if diff := cmp.Diff(g, x.Grant); diff != "" || !reflect.DeepEqual(denied, x.Denied) || (g == nil) == (denied == nil) {
				t.Fatalf("Decide %v, %v; Explain %v, %v\n%s", g, err, x.Grant, x.Denied, diff)
			}
			checkSteps(t, x)
			r = drawLogin(t)
		}
	})
}

// checkSteps: denies come before maps, one rule at most fits, and it is the last one reached.
func checkSteps(t *rapid.T, x policy.Explanation) {
	for i, s := range x.Steps {
		if i > 0 && s.Rule.Kind == policy.Deny && x.Steps[i-1].Rule.Kind == policy.Map {
			t.Fatalf("deny after map: %v", x.Steps)
		}
		if s.Fits {
			if x.Grant != nil && s.Rule != x.Grant.Rule || x.Denied != nil && s.Rule != *x.Denied.Rule {
				t.Fatalf("%v fits, but %v, %v", s.Rule, x.Grant, x.Denied)
			}
		}
		if s.Reached && !s.Fits && s.Condition == "" {
			t.Fatalf("%v failed for no reason", s.Rule)
		}
		if !s.Reached && (s.Fits || s.Condition != "") {
			t.Fatalf("%+v was not reached", s)
		}
	}
}

// narrower is a map that grants at most what r does, or nearly so.
func narrower(t *rapid.T, r policy.Rule, i int) policy.Rule {
	r.Name, r.Line, r.Kind = fmt.Sprint(i), i+1, policy.Map
	r.Match = slices.Clone(r.Match)
	for j := range r.Match {
		if v := r.Match[j].Values; r.Match[j].Field != policy.FieldSPIFFE {
			r.Match[j].Values = someOf(t, "fewer", append(slices.Clone(v), "alice@corp", "bob@corp"), 1, 2)
		}
	}
	if r.Admin == "" && r.Databases == nil {
		r.Databases = []string{"orders"}
	}
	if r.Admin == "" && rapid.Bool().Draw(t, "other roles") {
		r.Assume, r.Role, r.Roles = false, "", someOf(t, "roles", []string{"alice", "bob", `\1`}, 1, 2)
	}
	if r.Admin == "" && r.Role == "" && r.Roles == nil {
		r.Roles = []string{"alice"}
	}
	return r
}

// TestUnreachableIsTrue holds Check to its word: a map that it calls unreachable grants nothing.
func TestUnreachableIsTrue(t *testing.T) {
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		c := policy.Config{Databases: []policy.Database{{Name: "orders", Upstream: "up"}, {Name: "other", Upstream: "up"}},
			AdminDatabases: []string{"pgsignet"}, Listeners: []policy.Listener{{Name: "main", Admin: true}, {Name: "side"}}}
		for i := range rapid.IntRange(2, 6).Draw(t, "rules") {
			if i > 0 && rapid.Bool().Draw(t, "like an earlier one") {
				c.Rules = append(c.Rules, narrower(t, c.Rules[rapid.IntRange(0, i-1).Draw(t, "which")], i))
				continue
			}
			c.Rules = append(c.Rules, drawRule(t, i))
		}
		dead := map[int]bool{}
		for _, f := range policy.Check(c) {
			if f.Severity == policy.Error && f.Summary != "A map that is never reached" {
				return
			}
			if f.Severity == policy.Error {
				dead[f.Rule.Line] = true
			}
		}
		found += len(dead)
		p := policy.CompileUnchecked(c)
		for range 20 {
			if g, err := p.Decide(drawLogin(t)); err == nil && dead[g.Rule.Line] {
				t.Fatalf("%v is called unreachable and granted", g.Rule)
			}
		}
	})
	t.Log(found, "unreachable maps drawn")
	if found == 0 {
		t.Error("no unreachable map was drawn")
	}
}
