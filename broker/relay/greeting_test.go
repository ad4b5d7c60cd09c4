package relay

import (
	"testing"

	"github.com/pgsignet/pgsignet/pgwire"
)

// TestSetupKey: setups have the same key where servers take them alike, and no others: of settings whose names
// are one to PostgreSQL, the last one wins.
func TestSetupKey(t *testing.T) {
	type params = []pgwire.Param
	for _, tt := range []struct {
		name string
		a, b params
		same bool
	}{
		{"another order", params{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}, params{{Name: "b", Value: "2"}, {Name: "a", Value: "1"}}, true},
		{"another value", params{{Name: "a", Value: "1"}}, params{{Name: "a", Value: "2"}}, false},
		{"another order of one name", params{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}}, params{{Name: "a", Value: "2"}, {Name: "a", Value: "1"}}, false},
		{
			"another order of one name, spelled in two ways", params{{Name: "TimeZone", Value: "UTC"}, {Name: "timezone", Value: "Asia/Tokyo"}},
			params{{Name: "timezone", Value: "Asia/Tokyo"}, {Name: "TimeZone", Value: "UTC"}}, false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, _ := (&Setup{Startup: tt.a}).Key(nil)
			b, _ := (&Setup{Startup: tt.b}).Key(nil)
			if (string(a) == string(b)) != tt.same {
				t.Errorf("got %q and %q", a, b)
			}
		})
	}
}
