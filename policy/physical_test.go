package policy_test

import (
	"errors"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/pgsignet/pgsignet/policy"
)

// TestA109DenyOnOneDatabase: a physical replication stream holds every database of its server, so a deny
// on one of them refuses it, whatever database the grant goes by.
func TestA109DenyOnOneDatabase(t *testing.T) {
	replicates := policy.Rule{Kind: policy.Map, Name: "copy", Match: cn("copy", "trusted"), Roles: []string{"copy"},
		Databases: []string{"*"}, Replication: true}
	deny := func(databases ...string) policy.Rule {
		return policy.Rule{Kind: policy.Deny, Name: "no", Match: cn("copy"), Databases: databases}
	}
	inWords := deny()
	inWords.Databases, inWords.When = nil, exprFunc(func(vars map[string]cty.Value) (cty.Value, error) {
		return vars["request"].GetAttr("database").Equals(cty.StringVal("secret")), nil
	})
	plain := replicates
	plain.Replication = false
	names := []string{"open", "secret", "elsewhere"}
	compile := func(passThrough bool, rules ...policy.Rule) *policy.Policy {
		c := policy.Config{Rules: rules, Databases: []policy.Database{
			{Name: "open", Upstream: "one"}, {Name: "secret", Upstream: "one"}, {Name: "elsewhere", Upstream: "two"},
		}}
		if passThrough {
			c.Databases = append(c.Databases, policy.Database{Name: "*", Upstream: "one"})
		}
		p, err := policy.Compile(c)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tt := range []struct {
		name     string
		p        *policy.Policy
		cn       string
		database string // asked for
		want     error
		upstream string
	}{
		{"no deny", compile(false, replicates), "copy", "", nil, "one"},
		{"the word", compile(false, replicates), "copy", "replication", nil, "one"},
		{"deny on another of the server", compile(false, deny("secret"), replicates), "copy", "", policy.ErrDenied, ""},
		{"the word, deny on another of the server", compile(false, deny("secret"), replicates), "copy", "replication", policy.ErrDenied, ""},
		{"granted by name, deny on another", compile(false, deny("secret"), replicates), "copy", "open", policy.ErrDenied, ""},
		{"deny on the first: the second is on the same server", compile(false, deny("open"), replicates), "copy", "", policy.ErrDenied, ""},
		{"deny whose when asks for another of the server", compile(false, inWords, replicates), "copy", "", policy.ErrDenied, ""},
		{"deny on another server", compile(false, deny("elsewhere"), replicates), "copy", "", nil, "one"},
		{"deny on one that is passed through", compile(true, deny("private"), replicates), "copy", "", policy.ErrDenied, ""},
		{"deny on all", compile(false, deny("*"), replicates), "copy", "", policy.ErrDenied, ""},
		{"deny of others", compile(false, deny("secret"), replicates), "trusted", "", nil, "one"},
		{"nobody's", compile(false, replicates), "eve", "", policy.ErrNoMap, ""},
		{"not for replication", compile(false, plain), "copy", "", policy.ErrDatabase, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := policy.Request{Identity: named(tt.cn), User: "copy", Database: tt.database, Replication: true}
			g, err := tt.p.DecidePhysical(r, names)
			if !errors.Is(err, tt.want) || (g == nil) != (tt.want != nil) {
				t.Fatalf("got %+v, %v, want %v", g, err, tt.want)
			}
			if g != nil && g.Upstream != tt.upstream {
				t.Errorf("server %q, want %q", g.Upstream, tt.upstream)
			}
		})
	}
}
