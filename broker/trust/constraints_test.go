package trust

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestA54NameConstraints: five types of names, permitted and excluded, evaluated critical or not (T44).
func TestA54NameConstraints(t *testing.T) {
	f := newFixture(t)
	dir := func(n ...pki.RDN) pki.GeneralName { return pki.DirectoryName(pki.Name(n)) }
	subject := func(n ...pki.RDN) pki.Shape { return pki.Shape{Subject: pki.Name(n)} }
	acme, upper := pki.O("Acme"), pki.RDN{pki.Typed(pki.OIDOrganization, pki.PrintableString, "ACME")}
	upn := pki.UPN("alice@corp.example")
	for _, tt := range []struct {
		name                string
		permitted, excluded []pki.GeneralName
		leaf                pki.Shape
		want                want
	}{
		{"DNS permitted", []pki.GeneralName{pki.DNSName("example.com")}, nil, pki.Shape{DNS: []string{"a.example.com"}}, yes},
		{"DNS not permitted", []pki.GeneralName{pki.DNSName("example.com")}, nil, pki.Shape{DNS: []string{"a.example.org"}}, no(NameConstraint)},
		{"DNS excluded", nil, []pki.GeneralName{pki.DNSName("example.com")}, pki.Shape{DNS: []string{"a.example.com"}}, no(NameConstraint)},
		{"DNS other", nil, []pki.GeneralName{pki.DNSName("example.com")}, pki.Shape{DNS: []string{"a.example.org"}}, yes},
		{"leading dot", []pki.GeneralName{pki.DNSName(".example.com")}, nil, pki.Shape{DNS: []string{"a.example.com"}}, want{"name_constraint", "leading dot"}},

		{"leading dot, excluded", nil, []pki.GeneralName{pki.DNSName(".example.org")}, pki.Shape{DNS: []string{"a.example.com"}}, want{"name_constraint", "leading dot"}},

		{"email permitted", []pki.GeneralName{pki.RFC822Name("example.com")}, nil, pki.Shape{Email: []string{"a@example.com"}}, yes},
		{"email not permitted", []pki.GeneralName{pki.RFC822Name("example.com")}, nil, pki.Shape{Email: []string{"a@example.org"}}, no(NameConstraint)},
		{"email excluded", nil, []pki.GeneralName{pki.RFC822Name("a@example.com")}, pki.Shape{Email: []string{"a@example.com"}}, no(NameConstraint)},

		{"URI permitted", []pki.GeneralName{pki.URIName("example.com")}, nil, pki.Shape{URI: []string{"https://example.com/x"}}, yes},
		{"URI not permitted", []pki.GeneralName{pki.URIName("example.com")}, nil, pki.Shape{URI: []string{"https://example.org/x"}}, no(NameConstraint)},
		{"URI excluded", nil, []pki.GeneralName{pki.URIName("example.com")}, pki.Shape{URI: []string{"https://example.com/x"}}, no(NameConstraint)},

		{"IP permitted", []pki.GeneralName{pki.IPRange(netip.MustParsePrefix("10.0.0.0/8"))}, nil, pki.Shape{IP: []netip.Addr{netip.MustParseAddr("10.1.2.3")}}, yes},
		{"IP not permitted", []pki.GeneralName{pki.IPRange(netip.MustParsePrefix("10.0.0.0/8"))}, nil, pki.Shape{IP: []netip.Addr{netip.MustParseAddr("11.1.2.3")}}, no(NameConstraint)},
		{"IP excluded", nil, []pki.GeneralName{pki.IPRange(netip.MustParsePrefix("10.0.0.0/8"))}, pki.Shape{IP: []netip.Addr{netip.MustParseAddr("10.1.2.3")}}, no(NameConstraint)},

		{"DN permitted", []pki.GeneralName{dir(acme)}, nil, subject(acme, pki.CN("alice")), yes},
		{"DN not permitted", []pki.GeneralName{dir(acme)}, nil, subject(pki.O("Evil"), pki.CN("alice")), want{"name_constraint", `"CN=alice,O=Evil"`}},
		{"DN permitted is byte for byte", []pki.GeneralName{dir(acme)}, nil, subject(upper, pki.CN("alice")), no(NameConstraint)},
		{"DN is a prefix", []pki.GeneralName{dir(acme)}, nil, subject(pki.CN("alice"), acme), no(NameConstraint)},
		{"DN excluded", nil, []pki.GeneralName{dir(acme)}, subject(acme, pki.CN("alice")), no(NameConstraint)},
		{"DN excluded folds case and type", nil, []pki.GeneralName{dir(acme)}, subject(upper, pki.CN("alice")), no(NameConstraint)},
		{"DN excluded folds space", nil, []pki.GeneralName{dir(pki.O("Acme  Corp"))}, subject(pki.O(" acme corp"), pki.CN("alice")), no(NameConstraint)},
		{"DN excluded, BMPString", nil, []pki.GeneralName{dir(acme)}, subject(pki.RDN{pki.BMP(pki.OIDOrganization, "aCME")}, pki.CN("alice")), no(NameConstraint)},
		{"DN excluded folds the order in an RDN", nil, []pki.GeneralName{dir(append(pki.O("Acme"), pki.OU("Ops")...))}, subject(append(pki.OU("Ops"), pki.O("Acme")...), pki.CN("alice")), no(NameConstraint)},
		{"DN other", nil, []pki.GeneralName{dir(acme)}, subject(pki.O("Else"), pki.CN("alice")), yes},
		{"DN in the SAN", []pki.GeneralName{dir(acme)}, nil, pki.Shape{Subject: pki.Name{acme, pki.CN("a")}, SAN: []pki.GeneralName{dir(pki.O("Evil"))}}, no(NameConstraint)},
		{"every DN excluded", nil, []pki.GeneralName{dir()}, subject(acme), no(NameConstraint)},

		{"other type occurs", []pki.GeneralName{upn}, nil, pki.Shape{CN: "alice", SAN: []pki.GeneralName{upn}}, no(NameConstraint)},
		{"other type excluded, occurs", nil, []pki.GeneralName{upn}, pki.Shape{CN: "alice", SAN: []pki.GeneralName{upn}}, no(NameConstraint)},
		{"other type does not occur", nil, []pki.GeneralName{upn}, pki.Shape{CN: "alice"}, yes},
	} {
		for _, isCritical := range []bool{true, false} {
			nc := pki.NameConstraints(tt.permitted, tt.excluded)
			nc.Critical = isCritical
			t.Run(tt.name, func(t *testing.T) {
				sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub", Ext: []pki.Extension{nc}})
				tt.want.check(t, f.load(nil), peer(t, f.Issue(sub, tt.leaf)), time.Now())
			})
			t.Run(tt.name+" by the anchor", func(t *testing.T) {
				root := f.Root(pki.Shape{CN: "Root", Ext: []pki.Extension{nc}})
				g := *f
				g.cfg.ClientCA = []string{f.WriteCA(root, "root")}
				tt.want.check(t, g.load(nil), peer(t, f.Issue(root, tt.leaf)), time.Now())
			})
		}
	}
}

// TestA54Malformed: constraints in a leaf, bases that nobody evaluates, and the ones that crashed Go.
func TestA54Malformed(t *testing.T) {
	f := newFixture(t)
	leaf := pki.Shape{CN: "alice", Ext: []pki.Extension{pki.NameConstraints([]pki.GeneralName{pki.DNSName("a.example")}, nil)}}
	no(NameConstraint).check(t, f.load(nil), peer(t, f.client(leaf)), time.Now())

	for name, base := range map[string]pki.GeneralName{
		"directoryName that is no name": {0xa4, 3, 0x04, 1, 0},
		"directoryName cut":             {0xa4, 2, 0x30, 5},
	} {
		t.Run(name, func(t *testing.T) {
			for _, nc := range []pki.Extension{
				pki.NameConstraints([]pki.GeneralName{base}, nil), pki.NameConstraints(nil, []pki.GeneralName{base}),
			} {
				sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub", Ext: []pki.Extension{nc}})
				no(NameConstraint).check(t, f.load(nil), peer(t, f.Issue(sub, pki.Shape{CN: "alice"})), time.Now())
			}
		})
	}
}
