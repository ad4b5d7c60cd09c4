package trust

import (
	"crypto/x509"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestT81SameKey: two CAs are one when they have one key, whatever their certificates say.
func TestT81SameKey(t *testing.T) {
	f := newFixture(t)
	cas := []*x509.Certificate{f.Servers.X509, f.Clients.X509}
	for name, tt := range map[string]struct {
		ca   *pki.CA
		want bool
	}{
		"itself":             {f.Clients, true},
		"its key, renamed":   {f.Root(pki.Shape{CN: "Roles CA", Key: f.Clients.Key}), true},
		"its name alone":     {f.Root(pki.Shape{RawSubject: f.Clients.X509.RawSubject}), false},
		"another altogether": {f.Root(pki.Shape{CN: "Other"}), false},
	} {
		if got := SharesKey(tt.ca.X509, cas); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}
