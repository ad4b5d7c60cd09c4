package identity_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgsignet/pgsignet/policy/identity"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestExtract reads every field of one certificate that has them all.
func TestExtract(t *testing.T) {
	ca, err := pki.NewRoot(pki.Shape{Subject: pki.Name{pki.O("Example"), pki.CN("Clients CA")}})
	if err != nil {
		t.Fatal(err)
	}
	oid := pki.OID{1, 3, 6, 1, 4, 1, 55555, 1}
	leaf, err := ca.Issue(pki.Shape{
		Subject:   pki.Name{pki.Country("DE"), pki.O("Example"), pki.OU("Dev"), pki.OU("Ops"), pki.CN("alice"), pki.UID("u1")},
		Email:     []string{"alice@Example.com", "a@b.example"},
		DNS:       []string{"Host.example", "*.example"},
		IP:        []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		SPIFFE:    "spiffe://prod.example/ns/billing/sa/api",
		Ext:       []pki.Extension{pki.StringExtension(oid, 0, "analyst")},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:  time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		RawSerial: []byte{0x00, 0xab, 0xcd},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := identity.Extract(leaf.X509, []string{oid.String()})
	if err != nil {
		t.Fatal(err)
	}
	want := &identity.Identity{
		CN: "alice", CNs: []string{"alice"}, O: []string{"Example"}, OU: []string{"Dev", "Ops"},
		DN: "UID=u1,CN=alice,OU=Ops,OU=Dev,O=Example,C=DE", Issuer: "CN=Clients CA,O=Example",
		Email: []string{"alice@example.com", "a@b.example"}, DNS: []string{"host.example"},
		URI: []string{"spiffe://prod.example/ns/billing/sa/api"}, IP: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		SPIFFE: "spiffe://prod.example/ns/billing/sa/api", Serial: "abcd", SHA256: leaf.SHA256(),
		SPKISHA256: got.SPKISHA256, Extension: map[string]string{oid.String(): "analyst"},
		NotBefore: leaf.X509.NotBefore, NotAfter: leaf.X509.NotAfter,
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if len(got.SPKISHA256) != 64 || got.SPKISHA256 == got.SHA256 {
		t.Errorf("got SPKISHA256 %q", got.SPKISHA256)
	}
}

// TestIssuerOfOldCA: a T61String in the issuer's name is the CA's affair (T16 is about the subject).
func TestIssuerOfOldCA(t *testing.T) {
	leaf := issue(t, pki.Shape{CN: "alice", Issuer: pki.Name{{pki.Typed(pki.OIDCommonName, pki.T61String, "Caf\xe9 CA")}}})
	id, err := identity.Extract(leaf.X509, nil)
	if err != nil || id.Issuer != `CN=Caf\C3\A9 CA` {
		t.Errorf("got %+v, %v", id, err)
	}
}

// TestVersion1 reads a leaf without extensions, as openssl x509 -req of OpenSSL 3.0 writes it.
func TestVersion1(t *testing.T) {
	id, err := identity.Extract(issue(t, pki.Shape{CN: "alice", Version: 1}).X509, []string{"1.2.3"})
	if err != nil || id.CN != "alice" || id.Extension != nil {
		t.Errorf("got %+v, %v", id, err)
	}
}

// TestA53TrailingDERInSAN: Go takes bytes behind the names, and other readers might read them.
func TestA53TrailingDERInSAN(t *testing.T) {
	san := pki.SubjectAltName(pki.DNSName("a.example"))
	san.Value = append(san.Value, 5, 0)
	wantRefused(t, identity.ReasonIllegal, map[string]pki.Shape{
		"behind the names": {CN: "a", Ext: []pki.Extension{san}},
		"unknown name":     {CN: "a", SAN: []pki.GeneralName{{0x89, 1, 'a'}}},
		"universal tag":    {CN: "a", SAN: []pki.GeneralName{{12, 1, 'a'}}},
	})
}

// TestHandMade gives Extract and the others what crypto/x509 would not parse, since they are the second
// lock on the same door.
func TestHandMade(t *testing.T) {
	good := issue(t, pki.Shape{CN: "alice", SPIFFE: "spiffe://a.example/b"}).X509
	for name, spoil := range map[string]func(c *x509.Certificate){
		"no subject":          func(c *x509.Certificate) { c.RawSubject = nil },
		"no issuer":           func(c *x509.Certificate) { c.RawIssuer = []byte{0x30} },
		"extension twice":     func(c *x509.Certificate) { c.Extensions = append(c.Extensions, c.Extensions...) },
		"SAN empty":           func(c *x509.Certificate) { setSAN(c, nil) },
		"SAN cut":             func(c *x509.Certificate) { setSAN(c, []byte{0x30, 3, 0x82, 2, 'a'}) },
		"SAN email non-ASCII": func(c *x509.Certificate) { setSAN(c, pki.SubjectAltName(pki.RFC822Name("jos\xe9@a.b")).Value) },
		"SAN IP of 5 bytes":   func(c *x509.Certificate) { setSAN(c, pki.SubjectAltName(pki.IPName(make([]byte, 5))).Value) },
		"UniversalString": func(c *x509.Certificate) {
			c.RawSubject = pki.Name{{pki.Universal(pki.OIDCommonName, "a")}}.Encode()
		},
		"illegal PrintableString": func(c *x509.Certificate) {
			c.RawSubject = pki.Name{{pki.Typed(pki.OIDCommonName, pki.PrintableString, "a@b")}}.Encode()
		},
		"VisibleString": func(c *x509.Certificate) {
			c.RawSubject = pki.Name{{pki.Typed(pki.OIDCommonName, pki.VisibleString, "a")}}.Encode()
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad := *good
			spoil(&bad)
			_, err := identity.Extract(&bad, nil)
			wantReason(t, err, identity.ReasonIllegal)
		})
	}
}

// setSAN makes that value the only extension of a certificate.
func setSAN(c *x509.Certificate, value []byte) {
	c.Extensions = []pkix.Extension{{Id: pki.OIDSubjectAltName, Value: value}}
}

func BenchmarkExtract(b *testing.B) {
	ca, err := pki.NewRoot(pki.Shape{CN: "Clients CA"})
	if err != nil {
		b.Fatal(err)
	}
	leaf, err := ca.Issue(pki.Shape{
		CN: "alice", O: []string{"Example"}, Email: []string{"alice@example.com"}, SPIFFE: "spiffe://prod.example/ns/a/sa/b",
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := identity.Extract(leaf.X509, nil); err != nil {
			b.Fatal(err)
		}
	}
}
