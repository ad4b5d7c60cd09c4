package identity_test

import (
	"encoding/asn1"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pgsignet/pgsignet/policy/identity"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestFormatDN holds the cases of T20 one by one; TestFormatDNAsOpenSSL has the rest.
func TestFormatDN(t *testing.T) {
	for _, tt := range []struct {
		name string
		dn   pki.Name
		want string
	}{
		{"empty", nil, ""},
		{"reversed", pki.Name{pki.Country("DE"), pki.O("Example"), pki.CN("alice")}, "CN=alice,O=Example,C=DE"},
		{"reversed inside an RDN", pki.Name{pki.O("x"), {pki.Text(pki.OIDCommonName, "a"), pki.Text(pki.OIDUserID, "b")}},
			"UID=b+CN=a,O=x"},
		{"short names", pki.Name{
			pki.DC("example"), pki.UID("a"), pki.EmailAddress("a@b"), {pki.Text(pki.OIDSerialNumber, "1")},
			{pki.Text(pki.OIDGivenName, "g")}, {pki.Text(pki.OIDSurname, "s")}, {pki.Text(pki.OIDStreet, "t")},
			{pki.Text(pki.OIDState, "v")}, {pki.Text(pki.OIDLocality, "l")}, {pki.Text(pki.OIDTitle, "w")},
		}, "title=w,L=l,ST=v,street=t,SN=s,GN=g,serialNumber=1,emailAddress=a@b,UID=a,DC=example"},
		{"unknown type", pki.Name{{pki.Text(pki.OID{1, 3, 6, 1, 4, 1, 55555, 1}, "aJ")}}, "1.3.6.1.4.1.55555.1=#0C02614A"},
		{"specials", pki.Name{pki.CN(`a,b+c"d\e<f>g;h=i#j`)}, `CN=a\,b\+c\"d\\e\<f\>g\;h=i#j`},
		{"outer spaces", pki.Name{pki.CN("  a  ")}, `CN=\  a \ `},
		{"one space", pki.Name{pki.CN(" ")}, `CN=\ `},
		{"leading #", pki.Name{pki.CN("#a#")}, `CN=\#a#`},
		{"# alone, which OpenSSL does not escape", pki.Name{pki.CN("#")}, `CN=#`},
		{"non-ASCII", pki.Name{pki.CN("josé")}, `CN=jos\C3\A9`},
		{"controls", pki.Name{pki.CN("a\x00\n\x7f")}, `CN=a\00\0A\7F`},
		{"T61String is Latin-1", pki.Name{{pki.Typed(pki.OIDCommonName, pki.T61String, "jos\xe9")}}, `CN=jos\C3\A9`},
		{"BMPString", pki.Name{{pki.BMP(pki.OIDCommonName, "é ")}}, `CN=\C3\A9\ `},
		{"UniversalString", pki.Name{{pki.Universal(pki.OIDCommonName, "é😀")}}, `CN=\C3\A9\F0\9F\98\80`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := identity.FormatDN(tt.dn.Encode())
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestFormatDNRefuses(t *testing.T) {
	longType := append(pki.OID{1, 3, 6, 1, 4, 1}, make([]int, 10)...)
	for i := range longType[6:] {
		longType[6+i] = 123456789
	}
	second := pki.Attr{Type: pki.OIDCommonName, DER: []byte{12, 1, 'a', 12, 1, 'b'}}
	for name, raw := range map[string][]byte{
		"nothing":                {},
		"no SEQUENCE":            {0x31, 0},
		"trailing bytes":         append(pki.Name{pki.CN("a")}.Encode(), 0),
		"empty RDN":              pki.Name{{}}.Encode(),
		"two values":             pki.Name{{second}}.Encode(),
		"bad UTF-8":              pki.Name{pki.CN("\xff")}.Encode(),
		"OCTET STRING":           pki.Name{{pki.Typed(pki.OIDCommonName, pki.OctetString, "a")}}.Encode(),
		"odd BMPString":          pki.Name{{pki.Typed(pki.OIDCommonName, pki.BMPString, "abc")}}.Encode(),
		"surrogate":              pki.Name{{pki.Typed(pki.OIDCommonName, pki.BMPString, "\xd8\x00")}}.Encode(),
		"beyond Unicode":         pki.Name{{pki.Typed(pki.OIDCommonName, pki.UniversalString, "\x00\x11\x00\x00")}}.Encode(),
		"type OpenSSL would cut": pki.Name{{pki.Text(longType, "a")}}.Encode(),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := identity.FormatDN(raw); err == nil {
				t.Errorf("got %q, want an error", got)
			}
		})
	}
}

// openssl returns the path of the openssl program, or fails the test.
func openssl(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("this test compares with the openssl program, which is not installed: install the package openssl")
	}
	return path
}

// opensslDNs returns each certificate's subject as openssl prints it under -nameopt RFC2253. One
// `openssl verify` prints the subjects of a whole batch, since none of them can be verified.
func opensslDNs(t rapid.TB, program, dir string, certs []*pki.Leaf) []string {
	args := []string{"verify", "-nameopt", "RFC2253", "-no-CAfile", "-no-CApath", "-no-CAstore"}
	for i, c := range certs {
		path := filepath.Join(dir, fmt.Sprintf("%d.crt", i))
		if err := os.WriteFile(path, c.CertPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, _ := exec.Command(program, args...).CombinedOutput() // fails by design
	lines := strings.Split(string(out), "\n")
	var dns []string
	for i, line := range lines[1:] {
		if strings.HasPrefix(line, "error ") && strings.Contains(line, " at 0 depth lookup: unable to get local issuer") {
			dns = append(dns, lines[i])
		}
	}
	if len(dns) != len(certs) {
		t.Fatalf("openssl verify printed %d subjects of %d:\n%s", len(dns), len(certs), out)
	}
	return dns
}

// TestFormatDNAsOpenSSL compares random subjects with the openssl program, byte for byte.
func TestFormatDNAsOpenSSL(t *testing.T) {
	program, dir := openssl(t), t.TempDir()
	ca, err := pki.NewRoot(pki.Shape{CN: "Clients CA"})
	if err != nil {
		t.Fatal(err)
	}
	key := ca.Key // one key for all: only the names matter
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(anyName(), 20, 20).Draw(t, "names")
		certs := make([]*pki.Leaf, len(names))
		for i, name := range names {
			if certs[i], err = ca.Issue(pki.Shape{Subject: name, Key: key}); err != nil {
				t.Fatal(err)
			}
		}
		for i, want := range opensslDNs(t, program, dir, certs) {
			raw := names[i].Encode()
			if got, err := identity.FormatDN(raw); err != nil || got != want {
				t.Fatalf("subject %x\n got %q, %v\nwant %q", raw, got, err, want)
			}
		}
	})
}

// TestShortNames compares every name of the embedded list with the installed OpenSSL.
func TestShortNames(t *testing.T) {
	program, dir := openssl(t), t.TempDir()
	list, err := os.ReadFile("openssl_names.txt")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.NewRoot(pki.Shape{CN: "Clients CA"})
	if err != nil {
		t.Fatal(err)
	}
	var certs []*pki.Leaf
	var want []string
	for line := range strings.Lines(string(list)) {
		oid, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		leaf, err := ca.Issue(pki.Shape{Subject: pki.Name{{pki.Text(parseOID(t, oid), "x")}}, Key: ca.Key})
		if err != nil {
			t.Fatal(err)
		}
		certs, want = append(certs, leaf), append(want, name+"=x")
	}
	for i, got := range opensslDNs(t, program, dir, certs) {
		ours, err := identity.FormatDN(certs[i].X509.RawSubject)
		if got != want[i] || ours != got || err != nil {
			t.Errorf("openssl prints %q, listed as %q, FormatDN gives %q, %v", got, want[i], ours, err)
		}
	}
}

func parseOID(t *testing.T, dotted string) asn1.ObjectIdentifier {
	t.Helper()
	var oid asn1.ObjectIdentifier
	for arc := range strings.SplitSeq(dotted, ".") {
		var n int
		if _, err := fmt.Sscan(arc, &n); err != nil {
			t.Fatalf("OID %q: %v", dotted, err)
		}
		oid = append(oid, n)
	}
	return oid
}

// anyName draws subjects that OpenSSL can print: any order, several attributes in an RDN, known and
// unknown types, every string type, and text rich in what RFC 2253 escapes.
func anyName() *rapid.Generator[pki.Name] {
	rdn := rapid.Map(rapid.SliceOfN(anyAttr(), 1, 3), func(a []pki.Attr) pki.RDN { return a })
	return rapid.Map(rapid.SliceOfN(rdn, 0, 5), func(r []pki.RDN) pki.Name { return r })
}

func anyAttr() *rapid.Generator[pki.Attr] {
	types := []pki.OID{
		pki.OIDCommonName, pki.OIDOrganization, pki.OIDOrganizationalUnit, pki.OIDCountry, pki.OIDState, pki.OIDStreet,
		pki.OIDLocality, pki.OIDSerialNumber, pki.OIDSurname, pki.OIDGivenName, pki.OIDTitle, pki.OIDEmailAddress,
		pki.OIDUserID, pki.OIDDomainComponent, {2, 5, 4, 97}, {2, 5, 4, 200}, {1, 2, 3, 4}, {1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 3},
		{2, 999, 1}, {1, 3, 6, 1, 4, 1, 55555, 2147483647},
	}
	text := rapid.StringOf(rapid.OneOf(
		rapid.SampledFrom([]rune(" #,+\"\\<>;=/\x00\x01\n\x1f\x7f\u0080ÿé\u202e\ufeff€😀")),
		rapid.Rune(), rapid.RuneFrom([]rune("abcXYZ019")),
	))
	return rapid.Custom(func(t *rapid.T) pki.Attr {
		typ := rapid.SampledFrom(types).Draw(t, "type")
		value := rapid.OneOf(text, rapid.Just("#"), rapid.Just(" ")).Draw(t, "text")
		switch tag := rapid.SampledFrom([]pki.StringType{
			pki.UTF8String, pki.UTF8String, pki.PrintableString, pki.IA5String, pki.NumericString, pki.T61String,
			pki.BMPString, pki.UniversalString,
		}).Draw(t, "tag"); tag {
		case pki.BMPString:
			return pki.BMP(typ, strings.Map(func(r rune) rune { return min(r, 0xfffd) }, value))
		case pki.UniversalString:
			return pki.Universal(typ, value)
		default:
			return pki.Typed(typ, tag, value)
		}
	})
}
