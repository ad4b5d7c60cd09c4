package policy

import (
	"slices"
	"testing"
)

func TestAccessDiffers(t *testing.T) {
	granted := Access{Granted: true, Rule: "m", Role: "r", DBName: "d"}
	for _, tt := range []struct {
		name string
		a, b Access
		want []string
	}{
		{"same", granted, granted, nil},
		{"refused for another reason", Access{Reason: "no_map"}, Access{Reason: "denied_by_rule", Rule: "x"}, nil},
		{"lost", granted, Access{Reason: "no_map"}, []string{"verdict"}},
		{"gained", Access{Reason: "no_map"}, granted, []string{"verdict"}},
		{"role and map", granted, Access{Granted: true, Rule: "n", Role: "s", DBName: "d"}, []string{"map", "role"}},
		{"database", granted, Access{Granted: true, Rule: "m", Role: "r", DBName: "e"}, []string{"database"}},
		{"console", granted, Access{Granted: true, Rule: "m", Role: "r", Admin: "viewer"}, []string{"database", "admin"}},
	} {
		if got := tt.a.Differs(tt.b); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestAccessOf(t *testing.T) {
	if got := AccessOf(&Grant{Rule: RuleRef{Name: "m"}, Role: "r", DBName: "d"}, nil); got != (Access{Granted: true, Rule: "m", Role: "r", DBName: "d"}) {
		t.Errorf("%+v", got)
	}
	if got := AccessOf(nil, ErrUser.with(&RuleRef{Name: "m"}, "")); got != (Access{Reason: "user_not_granted", Rule: "m"}) {
		t.Errorf("%+v", got)
	}
}
