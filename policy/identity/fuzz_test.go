package identity_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgsignet/pgsignet/policy/identity"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

const fuzzOID = "1.3.6.1.4.1.55555.1"

// FuzzCertificate: no panic, and the identity of a certificate never changes between two parses.
func FuzzCertificate(f *testing.F) {
	ca, err := pki.NewRoot(pki.Shape{CN: "Clients CA"})
	if err != nil {
		f.Fatal(err)
	}
	oid := pki.OID{1, 3, 6, 1, 4, 1, 55555, 1}
	for _, shape := range []pki.Shape{
		{CN: "alice", Email: []string{"a@b.example"}, SPIFFE: "spiffe://a/b"},
		{Subject: pki.Name{append(pki.CN("a"), pki.CN("b")...)}, IP: []netip.Addr{netip.MustParseAddr("::1")}},
		{CN: "josé", Ext: []pki.Extension{pki.StringExtension(oid, 0, "x")}},
	} {
		leaf, err := ca.Issue(shape)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(leaf.DER)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		first, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		second, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatalf("parsed once, then: %v", err)
		}
		checkPair(t, first, second)
	})
}

// FuzzParts gives the raw parts that Extract parses itself, without a certificate's frame around them.
func FuzzParts(f *testing.F) {
	f.Add(pki.Name{pki.O("Example"), pki.CN("alice")}.Encode(),
		pki.SubjectAltName(pki.DNSName("a.example"), pki.RFC822Name("a@b.c"), pki.IPName([]byte{1, 2, 3, 4})).Value, []byte{12, 1, 'a'})
	f.Add(pki.Name{append(pki.CN("a"), pki.UID("b")...)}.Encode(),
		pki.SubjectAltName(pki.URIName("spiffe://a/b"), pki.UPN("x")).Value, []byte{19, 1, 'a'})
	f.Add(pki.Name{{pki.BMP(pki.OIDCommonName, "a")}}.Encode(), []byte{0x30, 0}, []byte{4, 0})
	f.Fuzz(func(t *testing.T, subject, san, ext []byte) {
		cert := func() *x509.Certificate {
			return &x509.Certificate{
				RawSubject: subject, RawIssuer: subject, SerialNumber: big.NewInt(1),
				Extensions: []pkix.Extension{
					{Id: pki.OIDSubjectAltName, Value: san}, {Id: pki.OID{1, 3, 6, 1, 4, 1, 55555, 1}, Value: ext},
				},
			}
		}
		checkPair(t, cert(), cert())
	})
}

func checkPair(t *testing.T, first, second *x509.Certificate) {
	t.Helper()
	a, errA := identity.Extract(first, []string{fuzzOID})
	b, errB := identity.Extract(second, []string{fuzzOID})
	if diff := cmp.Diff(a, b, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Fatalf("two parses differ:\n%s", diff)
	}
	if errA != nil {
		if _, ok := errors.AsType[*identity.Error](errA); !ok || a != nil || errB == nil || errA.Error() != errB.Error() {
			t.Fatalf("got %v, %v, %v", a, errA, errB)
		}
		return
	}
	for _, values := range [][]string{{a.CN, a.SPIFFE, a.Extension[fuzzOID]}, a.CNs, a.O, a.OU, a.Email, a.DNS, a.URI} {
		for _, v := range values {
			if !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
				t.Fatalf("value %q is not clean", v)
			}
		}
	}
	if strings.ContainsFunc(a.DN+a.Issuer, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Fatalf("DN %q or issuer %q is not ASCII", a.DN, a.Issuer)
	}
}
