package identity_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/policy/identity"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

func TestA94A95SeveralURIs(t *testing.T) {
	const one = "spiffe://prod.example/a"
	for name, uris := range map[string][]string{
		"A94 two SPIFFE IDs":   {one, "spiffe://prod.example/b"},
		"A94 the same twice":   {one, one},
		"A95 https beside":     {"https://example.com/", one},
		"A95 a bad one beside": {"SPIFFE://prod.example/b", "https://example.com/"},
	} {
		t.Run(name, func(t *testing.T) {
			leaf := issue(t, pki.Shape{CN: "a", URI: uris}).X509
			id, err := identity.Extract(leaf, nil)
			if err != nil {
				t.Fatal(err)
			}
			if id.SPIFFE != "" || !id.Ambiguous || !slices.Equal(id.URI, uris) {
				t.Errorf("got SPIFFE %q, ambiguous %v, URI %q", id.SPIFFE, id.Ambiguous, id.URI)
			}
			_, _, err = identity.SPIFFEID(leaf)
			wantReason(t, err, identity.ReasonAmbiguous)
		})
	}
	if id := extract(t, pki.Shape{URI: []string{"https://a.example/", "https://b.example/"}}); id.Ambiguous {
		t.Error("two URIs that are no SPIFFE IDs are ambiguous, want not")
	}
}

func TestA96BadSPIFFE(t *testing.T) {
	for name, uri := range map[string]string{
		"upper-case scheme":       "SPIFFE://prod.example/a",
		"upper-case trust domain": "spiffe://Prod.example/a",
		"port":                    "spiffe://prod.example:443/a",
		"user info":               "spiffe://u@prod.example/a",
		"empty segment":           "spiffe://prod.example//a",
		"dot segments":            "spiffe://prod.example/a/../b",
		"dot segment":             "spiffe://prod.example/./b",
		"encoded dot":             "spiffe://prod.example/%2e%2e/b",
		"encoded NUL":             "spiffe://prod.example/a%00",
		"encoded letter":          "spiffe://prod.example/%41",
		"trailing slash":          "spiffe://prod.example/a/",
		"query":                   "spiffe://prod.example/a?x=1",
		"fragment":                "spiffe://prod.example/a#x",
		"trust domain alone":      "spiffe://prod.example",
		"root path":               "spiffe://prod.example/",
		"no trust domain":         "spiffe:///a",
		"opaque":                  "spiffe:prod.example/a",
		"2049 bytes":              "spiffe://prod.example/" + strings.Repeat("a", 2049-22),
		"long trust domain":       "spiffe://" + strings.Repeat("a.", 127) + "aa/a",
	} {
		t.Run(name, func(t *testing.T) {
			leaf := tryIssue(t, pki.Shape{CN: "a", SPIFFE: uri})
			if leaf.X509 == nil {
				t.Skipf("alert 50: %v", leaf.ParseErr)
			}
			id, err := identity.Extract(leaf.X509, nil)
			if err != nil {
				t.Fatal(err)
			}
			if id.SPIFFE != "" || id.Ambiguous || !slices.Equal(id.URI, []string{uri}) {
				t.Errorf("got SPIFFE %q, ambiguous %v, URI %q", id.SPIFFE, id.Ambiguous, id.URI)
			}
			_, _, err = identity.SPIFFEID(leaf.X509)
			wantReason(t, err, identity.ReasonSPIFFE)
		})
	}
}

func TestA98WildcardDNS(t *testing.T) {
	id := extract(t, pki.Shape{DNS: []string{"*.corp", "*", "a.*.corp", "ok.corp"}})
	if !slices.Equal(id.DNS, []string{"ok.corp"}) {
		t.Errorf("got DNS %q, want only ok.corp", id.DNS)
	}
}

func TestA99DNSNames(t *testing.T) {
	wantAlert(t, map[string]pki.Shape{"U-label": {DNS: []string{"bücher.example"}}})
	id := extract(t, pki.Shape{DNS: []string{
		"xn--bcher-kva.example", "XN--BCHER-KVA.Example", "a.example.", "a_b.example", "-a.example", "a-.example",
		"a..example", "10.0.0.1", "0x7f.1", "::1", " a.example", "", strings.Repeat("a", 64) + ".example",
		strings.Repeat("a.", 127), strings.Repeat("abcdefg.", 32) + "example", "localhost", "1.a",
	}})
	want := []string{"xn--bcher-kva.example", "xn--bcher-kva.example", "localhost", "1.a"}
	if !slices.Equal(id.DNS, want) {
		t.Errorf("got DNS %q, want %q", id.DNS, want)
	}
}

func TestA100Email(t *testing.T) {
	id := extract(t, pki.Shape{
		Subject: pki.Name{pki.EmailAddress("subject@example.com")},
		Email: []string{
			"Alice@Example.COM", "alice+tag@example.com", `"alice"@example.com`, `"a@b"@example.com`, "alice",
			"@example.com", "alice@", "alice@[10.0.0.1]", "a@b@example.com", "a b@example.com", ".a@example.com",
			"alice@example.com.", "alice@10.0.0.1", strings.Repeat("a", 65) + "@example.com", "o'neil.x@a.example",
		},
	})
	want := []string{"Alice@example.com", "alice+tag@example.com", "o'neil.x@a.example"}
	if !slices.Equal(id.Email, want) {
		t.Errorf("got email %q, want %q", id.Email, want)
	}
}

func TestA101MappedIP(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	mapped := netip.MustParseAddr("::ffff:10.0.0.2")
	id := extract(t, pki.Shape{SAN: []pki.GeneralName{
		pki.IPName(mapped.AsSlice()), pki.IPAddress(v4), pki.IPAddress(v6),
	}})
	if !slices.Equal(id.IP, []netip.Addr{v4, v6}) {
		t.Errorf("got IP %v, want %v and %v", id.IP, v4, v6)
	}
	wantAlert(t, map[string]pki.Shape{"5 octets": {SAN: []pki.GeneralName{pki.IPName(make([]byte, 5))}}})
}

func TestA102OtherNames(t *testing.T) {
	id := extract(t, pki.Shape{SAN: []pki.GeneralName{
		pki.UPN("alice@corp"), pki.DirectoryName(pki.Name{pki.CN("alice")}), pki.RegisteredID(pki.OID{1, 2, 3}),
	}})
	if id.CN != "" || id.Email != nil || id.DNS != nil || id.URI != nil || id.IP != nil || id.SPIFFE != "" {
		t.Errorf("got %+v, want no value", id)
	}
}
