package identity_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/policy/identity"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// issue makes a client certificate of that shape, which Go must be able to parse.
func issue(t *testing.T, shape pki.Shape) *pki.Leaf {
	t.Helper()
	leaf := tryIssue(t, shape)
	if leaf.X509 == nil {
		t.Fatalf("certificate does not parse: %v", leaf.ParseErr)
	}
	return leaf
}

func tryIssue(t *testing.T, shape pki.Shape) *pki.Leaf {
	t.Helper()
	ca, err := pki.NewRoot(pki.Shape{CN: "Clients CA"})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue(shape)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func extract(t *testing.T, shape pki.Shape) *identity.Identity {
	t.Helper()
	id, err := identity.Extract(issue(t, shape).X509, nil)
	if err != nil {
		t.Fatalf("Extract: %v", err)
	}
	return id
}

// wantReason fails unless err is a refusal for that reason, in ASCII.
func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	refused, ok := errors.AsType[*identity.Error](err)
	if !ok {
		t.Fatalf("got error %v, want a refusal %s", err, reason)
	}
	if refused.Reason() != reason || refused.SQLState() != "28000" {
		t.Errorf("got %s %s, want 28000 %s (%v)", refused.SQLState(), refused.Reason(), reason, err)
	}
	for _, text := range []string{refused.Public(), refused.Detail(), refused.Error()} {
		if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("text %q is not one line of ASCII", text)
		}
	}
}

// wantRefused runs each shape and expects Extract to refuse it for that reason.
func wantRefused(t *testing.T, reason string, shapes map[string]pki.Shape) {
	t.Helper()
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			id, err := identity.Extract(issue(t, shape).X509, nil)
			if id != nil {
				t.Errorf("got an identity: %+v", id)
			}
			wantReason(t, err, reason)
		})
	}
}

// wantAlert runs each shape and expects that Go does not parse it: the client gets TLS alert 50.
func wantAlert(t *testing.T, shapes map[string]pki.Shape) {
	t.Helper()
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			if tryIssue(t, shape).ParseErr == nil {
				t.Error("parses, want an error")
			}
		})
	}
}

func cn(a ...pki.Attr) pki.Shape { return pki.Shape{Subject: pki.Name{a}} }

func TestA74TwoCNs(t *testing.T) {
	id := extract(t, pki.Shape{Subject: pki.Name{pki.CN("alice"), pki.O("x"), pki.CN("bob")}})
	if id.CN != "" || !id.Ambiguous || !slices.Equal(id.CNs, []string{"alice", "bob"}) {
		t.Errorf("got CN %q of %q, ambiguous %v; want none of both, ambiguous", id.CN, id.CNs, id.Ambiguous)
	}
	if id.DN != "CN=bob,O=x,CN=alice" {
		t.Errorf("got DN %q", id.DN)
	}
	id = extract(t, pki.Shape{Subject: pki.Name{pki.CN(""), pki.CN("bob")}})
	if id.CN != "" || !id.Ambiguous {
		t.Errorf("beside an empty CN: got CN %q, ambiguous %v; want none, ambiguous", id.CN, id.Ambiguous)
	}
}

func TestA75TwoCNsInOneRDN(t *testing.T) {
	id := extract(t, cn(pki.Text(pki.OIDCommonName, "alice"), pki.Text(pki.OIDCommonName, "bob")))
	if id.CN != "" || !id.Ambiguous || !slices.Equal(id.CNs, []string{"alice", "bob"}) || id.DN != "CN=bob+CN=alice" {
		t.Errorf("got CN %q of %q, DN %q, ambiguous %v", id.CN, id.CNs, id.DN, id.Ambiguous)
	}
}

func TestA76BMPStringThatSpellsASCII(t *testing.T) {
	wantRefused(t, identity.ReasonIllegal, map[string]pki.Shape{
		"CN":                 cn(pki.Typed(pki.OIDCommonName, pki.BMPString, "aliceX")),
		"CN, honest":         cn(pki.BMP(pki.OIDCommonName, "alice")),
		"O beside a good CN": {Subject: pki.Name{{pki.BMP(pki.OIDOrganization, "Example")}, pki.CN("alice")}},
		"unknown attribute":  {Subject: pki.Name{{pki.BMP(pki.OID{1, 2, 3}, "x")}, pki.CN("alice")}},
	})
}

func TestA77StringTypes(t *testing.T) {
	wantRefused(t, identity.ReasonIllegal, map[string]pki.Shape{
		"T61String": cn(pki.Typed(pki.OIDCommonName, pki.T61String, "alice")),
	})
	wantAlert(t, map[string]pki.Shape{
		"UniversalString":         cn(pki.Universal(pki.OIDCommonName, "alice")),
		"illegal PrintableString": cn(pki.Typed(pki.OIDCommonName, pki.PrintableString, "alice@")),
		"illegal NumericString":   cn(pki.Typed(pki.OIDCommonName, pki.NumericString, "1a")),
		"illegal IA5String":       cn(pki.Typed(pki.OIDCommonName, pki.IA5String, "jos\xe9")),
		"illegal UTF8String":      cn(pki.Typed(pki.OIDCommonName, pki.UTF8String, "jos\xe9")),
		"VisibleString":           cn(pki.Typed(pki.OIDCommonName, pki.VisibleString, "alice")),
		"OCTET STRING":            cn(pki.Typed(pki.OIDCommonName, pki.OctetString, "alice")),
	})
	for tag, want := range map[pki.StringType]string{
		pki.UTF8String: "josé", pki.PrintableString: "alice", pki.IA5String: "alice@x", pki.NumericString: "42",
	} {
		if id := extract(t, cn(pki.Typed(pki.OIDCommonName, tag, want))); id.CN != want {
			t.Errorf("tag %d: got CN %q, want %q", tag, id.CN, want)
		}
	}
}

func TestA78NUL(t *testing.T) {
	wantRefused(t, identity.ReasonIllegal, map[string]pki.Shape{
		"CN":    {CN: "alice\x00.evil"},
		"O":     {CN: "alice", O: []string{"x\x00"}},
		"dns":   {CN: "alice", DNS: []string{"a.example\x00.evil"}},
		"email": {CN: "alice", Email: []string{"alice@example.com\x00@evil"}},
	})
}

func TestA79InvisibleCharacters(t *testing.T) {
	shapes := map[string]pki.Shape{}
	for _, r := range "\n\t\x1b\r\x7f\u0080\u009f\u202a\u202e\u2066\u2069\u200b\u200f\u2028\u2029\ufeff" + // T16
		"\u00ad\u034f\u061c\u115f\u17b4\u180e\u2060\u2064\u2065\u206a\u206f\u3164\ufe0f\uffa0\ufff9\U000e0001\U000e0041\U000e007f\U000e0100" {
		shapes["CN "+identity.Quote(string(r))] = pki.Shape{CN: "ali" + string(r) + "ce"}
	}
	shapes["OU newline"] = pki.Shape{CN: "alice", OU: []string{"a\nb"}}
	wantRefused(t, identity.ReasonIllegal, shapes)
	for _, near := range []string{"a\u00a0b", "a\u200ab", "a\u2010b", "a\u202fb", "a\u0301b", "a\u3000b", "a\u2800b", "\U0001f600"} {
		if id := extract(t, pki.Shape{CN: near}); id.CN != near {
			t.Errorf("got CN %q, want %q", id.CN, near)
		}
	}
}

func TestA80Homoglyph(t *testing.T) {
	id := extract(t, pki.Shape{CN: "аlice"})
	if id.CN == "alice" || id.CN != "\u0430lice" {
		t.Errorf("got CN %+q, want it as it is", id.CN)
	}
	if got, want := identity.Describe(id.CN), `"\u0430lice" (U+0430 Cyrillic)`; got != want {
		t.Errorf("shown as %s, want %s", got, want)
	}
}

func TestA81NormalisationForms(t *testing.T) {
	nfc, nfd := extract(t, pki.Shape{CN: "jos\u00e9"}), extract(t, pki.Shape{CN: "jose\u0301"})
	if nfc.CN == nfd.CN || nfc.DN == nfd.DN {
		t.Errorf("NFC and NFD give the same CN %q or DN %q", nfc.CN, nfc.DN)
	}
	if nfc.DN != `CN=jos\C3\A9` || nfd.DN != `CN=jose\CC\81` {
		t.Errorf("got DN %s and %s", nfc.DN, nfd.DN)
	}
}

// TestA82A83A86Literal covers case, outer spaces, and values that mean something elsewhere: all stay as they are.
func TestA82A83A86Literal(t *testing.T) {
	for _, v := range []string{
		"Alice", " alice", "alice ", "all", "+grp", "/re", `"x"`, `\1`, "${1}", "%s", "{{.}}", "a'; DROP ROLE b--",
	} {
		if id := extract(t, pki.Shape{CN: v}); id.CN != v {
			t.Errorf("got CN %q, want %q", id.CN, v)
		}
	}
	wantRefused(t, identity.ReasonIllegal, map[string]pki.Shape{
		"start-up packet in a CN": {CN: "alice\x00database\x00template1"},
	})
}

func TestA84Lengths(t *testing.T) {
	for _, n := range []int{63, 64, 70, 1024} {
		if id := extract(t, pki.Shape{CN: strings.Repeat("a", n)}); len(id.CN) != n {
			t.Errorf("got a CN of %d bytes, want %d", len(id.CN), n)
		}
	}
	attributes := func(n int) pki.Name {
		var name pki.Name
		for range n {
			name = append(name, pki.OU("x"))
		}
		return name
	}
	var names []string
	for range 65 {
		names = append(names, "a.example")
	}
	long := strings.Repeat("x", 1024)
	wantRefused(t, identity.ReasonLimits, map[string]pki.Shape{
		"CN of 10 KB":      {CN: strings.Repeat("a", 10_000)},
		"CN of 1025 bytes": {CN: strings.Repeat("a", 1025)},
		"subject of 4 KiB": {CN: "alice", OU: []string{long, long, long, long}},
		"33 attributes":    {Subject: attributes(33)},
		"65 names":         {CN: "alice", DNS: names},
		"32 KiB":           {CN: "alice", Ext: []pki.Extension{{ID: pki.OID{1, 2, 3}, Value: make([]byte, 32<<10)}}},
	})
	if id := extract(t, pki.Shape{Subject: attributes(32), DNS: names[:64]}); len(id.OU) != 32 || len(id.DNS) != 64 {
		t.Errorf("got %d OU and %d DNS names, want 32 and 64", len(id.OU), len(id.DNS))
	}
}

func TestA85EmptySubject(t *testing.T) {
	id := extract(t, pki.Shape{CN: "", Subject: pki.Name{pki.CN("")}})
	if id.CN != "" || id.CNs != nil || id.Ambiguous || id.DN != "CN=" {
		t.Errorf("empty CN: got %+v", id)
	}
	id = extract(t, pki.Shape{Email: []string{"alice@example.com"}})
	if id.CN != "" || id.DN != "" || id.Ambiguous || !slices.Equal(id.Email, []string{"alice@example.com"}) {
		t.Errorf("empty subject: got %+v", id)
	}
}

func TestA103MappedExtension(t *testing.T) {
	oid := pki.OID{1, 3, 6, 1, 4, 1, 55555, 7}
	mapped := []string{"1.2.3.4", oid.String()}
	long := strings.Repeat("a", 1025)
	for _, tt := range []struct {
		name, reason string
		value        []byte
	}{
		{"OCTET STRING", identity.ReasonIllegal, []byte{4, 1, 'a'}},
		{"SEQUENCE", identity.ReasonIllegal, []byte{0x30, 3, 12, 1, 'a'}},
		{"BOOLEAN", identity.ReasonIllegal, []byte{1, 1, 0xff}},
		{"NumericString", identity.ReasonIllegal, []byte{18, 1, '1'}},
		{"BMPString", identity.ReasonIllegal, []byte{30, 2, 0, 'a'}},
		{"T61String", identity.ReasonIllegal, []byte{20, 1, 'a'}},
		{"context tag", identity.ReasonIllegal, []byte{0x8c, 1, 'a'}},
		{"BER indefinite", identity.ReasonIllegal, []byte{0x2c, 0x80, 12, 1, 'a', 0, 0}},
		{"BER long length", identity.ReasonIllegal, []byte{12, 0x81, 1, 'a'}},
		{"no value", identity.ReasonIllegal, []byte{}},
		{"bare text", identity.ReasonIllegal, []byte("alice")},
		{"empty string", identity.ReasonIllegal, []byte{12, 0}},
		{"cut", identity.ReasonIllegal, []byte{12, 2, 'a'}},
		{"A53 trailing DER", identity.ReasonIllegal, []byte{12, 1, 'a', 5, 0}},
		{"bad UTF-8", identity.ReasonIllegal, []byte{12, 1, 0xff}},
		{"NUL", identity.ReasonIllegal, []byte{12, 1, 0}},
		{"1025 bytes", identity.ReasonLimits, pki.StringExtension(nil, 0, long).Value},
		{"64 KB", identity.ReasonLimits, pki.StringExtension(nil, 0, strings.Repeat("a", 64_000)).Value},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaf := issue(t, pki.Shape{CN: "a", Ext: []pki.Extension{{ID: oid, Value: tt.value}}}).X509
			_, err := identity.Extract(leaf, mapped)
			wantReason(t, err, tt.reason)
			if len(tt.value) > 32<<10 {
				return // too large for any certificate
			}
			if id, err := identity.Extract(leaf, []string{"1.2.3.4"}); err != nil || id.Extension != nil {
				t.Errorf("when no rule reads it: got %v, %v; want no value and no error", id.Extension, err)
			}
		})
	}
	for _, tag := range []pki.StringType{pki.UTF8String, pki.PrintableString, pki.IA5String} {
		ext := pki.StringExtension(oid, tag, "analyst")
		ext.Critical = tag == pki.IA5String
		leaf := issue(t, pki.Shape{CN: "a", Ext: []pki.Extension{ext}}).X509
		id, err := identity.Extract(leaf, mapped)
		if err != nil || len(id.Extension) != 1 || id.Extension[oid.String()] != "analyst" {
			t.Errorf("tag %d: got %v, %v; want analyst", tag, id, err)
		}
	}
	twice := pki.StringExtension(oid, 0, "a")
	wantAlert(t, map[string]pki.Shape{"twice": {Ext: []pki.Extension{twice, twice}}})
}
