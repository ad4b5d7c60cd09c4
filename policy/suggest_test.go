package policy

import "testing"

func TestSuggest(t *testing.T) {
	for _, tt := range []struct {
		got   string
		known []string
		want  string
	}{
		{"sesion", []string{"session", "statement"}, ` Did you mean "session"?`},
		{"everything", []string{"session", "statement"}, ""},
		{"tls", []string{"all", "none"}, ""},
		{"ordres", []string{"stock", "orders"}, ` Did you mean "orders"?`},
		{"", []string{"a"}, ""},
	} {
		if got := Suggest(tt.got, tt.known); got != tt.want {
			t.Errorf("%q of %q: %q, want %q", tt.got, tt.known, got, tt.want)
		}
	}
}
