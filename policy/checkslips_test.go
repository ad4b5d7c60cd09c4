package policy_test

import (
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/policy"
)

// TestSlips: what compiles and was hardly meant is warned of, in denies above all, where it lets in.
func TestSlips(t *testing.T) {
	for _, tt := range []struct {
		field policy.Field
		value string
		want  string // the finding; "": none
	}{
		{policy.FieldCN, "/.*", "Everybody fits"}, {policy.FieldCN, "/", ""}, {policy.FieldCN, "/^.+$", "Everybody fits"},
		{policy.FieldEmail, "/.*@.*", "Everybody fits"}, {policy.FieldEmail, "/.*@example[.]com", ""},
		{policy.FieldSerial, "/[0-9a-f]+", "Everybody fits"}, {policy.FieldSPIFFE, "/^spiffe://.*$", "Everybody fits"},
		{policy.FieldSPIFFE, "/^spiffe://prod.example/.*$", ""}, {policy.FieldIP, "/.*", "Everybody fits"},
		{policy.FieldDNS, "/[a-z0-9.-]+", "Everybody fits"}, {policy.FieldDN, "/.*,O=Example", ""},
		{policy.FieldCN, "/bob", "An expression without special characters"}, {policy.FieldCN, "/^bob$", ""},
		{policy.FieldCN, "^bob$", "No expression"}, {policy.FieldCN, "svc-.*", "No expression"}, {policy.FieldO, "[a-z]+", "No expression"},
		{policy.FieldCN, "svc-*", "A star is itself"}, {policy.FieldEmail, "*@example.com", "A star is itself"},
		{policy.FieldCN, "bob ", "A space at the end"}, {policy.FieldCN, "CN=bob", "A DN"}, {policy.FieldDN, "CN=bob", ""},
		{policy.FieldCN, "bob\n", "A value no certificate has"}, {policy.FieldO, "a\u202eb", "A value no certificate has"},
		{policy.FieldCN, "bob", ""}, {policy.FieldCN, "Bob O'Neil (Ops) #2", ""}, {policy.FieldURI, "urn:a:b?c=d", ""},
	} {
		for _, kind := range []policy.Kind{policy.Map, policy.Deny} {
			r := policy.Rule{Kind: kind, Name: "r", Match: []policy.Condition{{Field: tt.field, Values: []string{tt.value}}}}
			want := tt.want
			if kind == policy.Map {
				r.Role, r.Databases = "app", []string{"orders"}
			} else if want == "Everybody fits" {
				want = "" // a deny of everybody may be meant, and keeps out
			}
			got := summaries(r)
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("%v %v = %q: %q, want %q", kind, tt.field, tt.value, got, want)
			}
		}
	}
	own := grants("own", cn("/(.*)"), `\1`)
	if got := summaries(own); got != "" {
		t.Errorf("a map of everybody to the name it has: %q", got)
	}
	for _, role := range []string{`"App"`, " app"} {
		if got := summaries(grants("m", cn("bob"), role)); got != "A name as it stands" {
			t.Errorf("role %q: %q", role, got)
		}
	}
}

// summaries are the findings about one rule.
func summaries(r policy.Rule) string {
	var all []string
	for _, f := range policy.Check(policy.Config{Rules: []policy.Rule{r}, Databases: []policy.Database{{Name: "orders", Upstream: "up"}}}) {
		if f.Severity == policy.Warning != (f.Summary != "A value no certificate has") {
			all = append(all, "severity of")
		}
		all = append(all, f.Summary)
	}
	return strings.Join(all, ", ")
}
