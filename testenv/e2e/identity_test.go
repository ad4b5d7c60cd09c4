package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestA74ToA105IdentityAndMapping is the catalogue's section on identities, each case with a real login.
func TestA74ToA105IdentityAndMapping(t *testing.T) {
	w := Shared(t)
	leaf := func(s pki.Shape) *pki.Leaf { return w.Issue(w.Clients, s) }
	cn := func(a ...pki.Attr) *pki.Leaf { return leaf(pki.Shape{Subject: pki.Name{a}}) }
	plain := func(s string) *pki.Leaf { return leaf(pki.Shape{CN: s}) }
	ext := func(der string) *pki.Leaf {
		return leaf(pki.Shape{CN: "Some One", Ext: []pki.Extension{{ID: oidTeam, Value: []byte(der)}}})
	}
	name := pki.OIDCommonName
	cases := []attack{
		{name: "A74 two CNs", leaf: leaf(pki.Shape{Subject: pki.Name{pki.CN("alice"), pki.CN("bobby")}}), want: "ambiguous_identity"},
		{name: "A74 two CNs, one denied", leaf: leaf(pki.Shape{Subject: pki.Name{pki.CN("mallory"), pki.CN("alice")}, Email: []string{"alice@example.com"}}), want: "denied_by_rule"},
		{name: "A75 two CNs in one RDN", leaf: cn(pki.Text(name, "alice"), pki.Text(name, "bobby")), want: "ambiguous_identity"},
		{name: "A76 BMPString that spells ASCII", leaf: cn(pki.Typed(name, pki.BMPString, "aliceX")), want: "illegal_value"},
		{name: "A77 T61String", leaf: cn(pki.Typed(name, pki.T61String, "alice")), want: "illegal_value"},
		{name: "A77 UniversalString", leaf: cn(pki.Universal(name, "alice")), want: "alert 50"},
		{name: "A77 illegal PrintableString", leaf: cn(pki.Typed(name, pki.PrintableString, "alice@")), want: "alert 50"},
		{name: "A77 IA5String", leaf: cn(pki.Typed(name, pki.IA5String, "alice")), want: "ok"},
		{name: "A77 NumericString", leaf: leaf(pki.Shape{Subject: pki.Name{{pki.Typed(name, pki.NumericString, "42")}}, Email: []string{"alice@example.com"}}), want: "ok"},
		{name: "A78 NUL in CN", leaf: plain("alice\x00.evil"), want: "illegal_value"},
		{name: "A78 NUL in O", leaf: leaf(pki.Shape{CN: "alice", O: []string{"x\x00"}}), want: "illegal_value"},
		{name: "A78 NUL in dns", leaf: leaf(pki.Shape{CN: "alice", DNS: []string{"a.example\x00.evil"}}), want: "illegal_value"},
		{name: "A78 NUL in email", leaf: leaf(pki.Shape{CN: "alice", Email: []string{"alice@example.com\x00@evil"}}), want: "illegal_value"},
		{name: "A80 homoglyph", leaf: plain("\u0430lice"), want: "no_map"},
		{name: "A81 NFC", leaf: leaf(pki.Shape{OU: []string{"jos\u00e9"}}), want: "ok"},
		{name: "A81 NFD", leaf: leaf(pki.Shape{OU: []string{"jose\u0301"}}), want: "no_map"},
		{name: "A82 case", leaf: plain("Alice"), want: "no_map"},
		{name: "A83 leading space", leaf: plain(" alice"), want: "no_map"},
		{name: "A83 trailing space", leaf: plain("alice "), want: "no_map"},
		{name: "A84 role of 64 bytes", leaf: plain(strings.Repeat("a", 64)), user: strings.Repeat("a", 64), want: "role_name"},
		{name: "A84 CN of 10 KB", leaf: plain(strings.Repeat("a", 10_000)), want: "cert_limits"},
		{name: "A85 empty CN", leaf: leaf(pki.Shape{Subject: pki.Name{pki.CN("")}}), want: "no_map"},
		{name: "A85 empty subject, email", leaf: leaf(pki.Shape{Email: []string{"alice@example.com"}}), want: "ok"},
		{name: "A85 nothing at all", leaf: leaf(pki.Shape{}), want: "no_map"},
		{name: "A86 NUL and a start-up packet", leaf: plain("alice\x00database\x00template1"), want: "illegal_value"},
		{name: "A87 unanchored expression, malice", leaf: leaf(pki.Shape{OU: []string{"malice"}}), want: "no_map"},
		{name: "A87 the whole value", leaf: leaf(pki.Shape{OU: []string{"lic"}}), want: "ok"},
		{name: "A88 alternation, annabel", leaf: leaf(pki.Shape{OU: []string{"annabel"}}), want: "no_map"},
		{name: "A88 alternation, anna", leaf: leaf(pki.Shape{OU: []string{"anna"}}), want: "ok"},
		{name: "A89 Kelvin sign", leaf: leaf(pki.Shape{OU: []string{"\u212aiss"}}), want: "no_map"},
		{name: "A89 long s", leaf: leaf(pki.Shape{OU: []string{"ki\u017fs"}}), want: "no_map"},
		{name: "A89 ASCII folds", leaf: leaf(pki.Shape{OU: []string{"KISS"}}), want: "ok"},
		{name: "A90 optional group", leaf: leaf(pki.Shape{O: []string{"svc"}}), want: "no_map"},
		{name: "A92 long value", leaf: plain(strings.Repeat("a", 1023) + "!"), want: "no_map"},
		{name: "A98 wildcard", leaf: leaf(pki.Shape{DNS: []string{"*.corp"}}), want: "no_map"},
		{name: "A99 A-label", leaf: leaf(pki.Shape{DNS: []string{"xn--bcher-kva.example"}}), want: "ok"},
		{name: "A99 U-label", leaf: leaf(pki.Shape{DNS: []string{"b\u00fccher.example"}}), want: "alert 50"},
		{name: "A99 trailing dot", leaf: leaf(pki.Shape{DNS: []string{"dot.corp."}}), want: "no_map"},
		{name: "A100 domain folds", leaf: leaf(pki.Shape{Email: []string{"alice@EXAMPLE.com"}}), want: "ok"},
		{name: "A100 local part does not", leaf: leaf(pki.Shape{Email: []string{"Alice@example.com"}}), want: "no_map"},
		{name: "A100 tag", leaf: leaf(pki.Shape{Email: []string{"alice+x@example.com"}}), want: "no_map"},
		{name: "A100 quoted", leaf: leaf(pki.Shape{Email: []string{`"alice"@example.com`}}), want: "no_map"},
		{name: "A101 IPv4-mapped", leaf: leaf(pki.Shape{SAN: []pki.GeneralName{pki.IPAddress(netip.MustParseAddr("::ffff:10.0.0.1"))}}), want: "no_map"},
		{name: "A101 IPv4", leaf: leaf(pki.Shape{IP: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}), want: "ok"},
		{name: "A102 UPN", leaf: leaf(pki.Shape{SAN: []pki.GeneralName{pki.UPN("alice@example.com")}}), want: "no_map"},
		{name: "A103 UTF8String", leaf: ext("\x0c\x08payments"), want: "ok"},
		{name: "A103 OCTET STRING", leaf: ext("\x04\x08payments"), want: "illegal_value"},
		{name: "A103 SEQUENCE", leaf: ext("\x30\x0a\x0c\x08payments"), want: "illegal_value"},
		{name: "A103 BOOLEAN", leaf: ext("\x01\x01\xff"), want: "illegal_value"},
		{name: "A103 indefinite", leaf: ext("\x2c\x80\x0c\x08payments\x00\x00"), want: "illegal_value"},
		{name: "A103 empty", leaf: ext(""), want: "illegal_value"},
		{name: "A103 64 KB", leaf: ext(strings.Repeat("x", 64<<10)), want: "cert_limits", noLibpq: true},
		{name: "A103 twice", leaf: leaf(pki.Shape{CN: "x y", Ext: []pki.Extension{pki.StringExtension(oidTeam, 0, "a"), pki.StringExtension(oidTeam, 0, "b")}}), want: "alert 50"},
		{name: "A104 other user", leaf: plain("alice"), user: "limited", want: "user_not_granted"},
		{name: "A105 other database", leaf: plain("alice"), database: "stock", want: "database_not_granted"},
		{name: "A105 unknown database", leaf: plain("alice"), database: "nowhere", want: "database_not_granted"},
		{name: "A105 role absent on the server", leaf: plain("missing"), user: "missing", want: "upstream_refused"},
		{name: "denied", leaf: plain("mallory"), want: "denied_by_rule"},
	}
	for _, r := range "\n\t\x1b\u202e\u200b\u2028\ufeff" {
		cases = append(cases, attack{name: fmt.Sprintf("A79 %U", r), leaf: plain("ali" + string(r) + "ce"), want: "illegal_value"})
	}
	for _, s := range []string{"all", "postgres", "pg_monitor", "pg_read_all_data", "rds_superuser"} {
		cases = append(cases, attack{name: "A91 " + s, leaf: plain(s), user: s, want: reservedOutcome(s)})
	}
	for _, s := range []string{"+grp", "/re", `"x"`, `\1`, "${1}", "%s", "{{.}}", "a'; DROP ROLE b--"} {
		cases = append(cases, attack{name: "A86 " + strings.ReplaceAll(s, "/", "slash "), leaf: plain(s), user: s, want: "no_map"})
	}
	runAttacks(t, Options{}, cases)
}

// reservedOutcome: `all` is a name like any other, and no role on the server (T9).
func reservedOutcome(name string) string {
	if name == "all" {
		return "upstream_refused"
	}
	return "no_map"
}

// TestA94ToA97SPIFFE: on a listener with trust domains, each domain vouches for itself only.
func TestA94ToA97SPIFFE(t *testing.T) {
	w := Shared(t)
	prod, test := w.Root(pki.Shape{CN: "Prod"}), w.Root(pki.Shape{CN: "Other"})
	id := "spiffe://prod.example/a"
	svid := func(ca *pki.CA, uris ...string) *pki.Leaf { return w.Issue(ca, pki.Shape{CN: "S V I D", URI: uris}) }
	cases := []attack{
		{name: "A94 two SPIFFE IDs", leaf: svid(prod, id, "spiffe://prod.example/b"), want: "ambiguous_identity"},
		{name: "A95 https beside", leaf: svid(prod, id, "https://example.com/"), want: "ambiguous_identity"},
		{name: "A97 other domain's CA", leaf: svid(test, id), want: "unknown_ca"},
		{name: "A97 its own", leaf: svid(prod, id), want: "ok"},
	}
	for name, uri := range map[string]string{
		"upper case": "spiffe://Prod.example/a", "port": "spiffe://prod.example:443/a", "userinfo": "spiffe://u@prod.example/a",
		"empty segment": "spiffe://prod.example//a", "dots": "spiffe://prod.example/a/../b", "encoded dots": "spiffe://prod.example/%2e%2e/b",
		"encoded NUL": "spiffe://prod.example/a%00", "trailing slash": "spiffe://prod.example/a/", "query": "spiffe://prod.example/a?x=1",
		"fragment": "spiffe://prod.example/a#x", "2049 bytes": "spiffe://prod.example/" + strings.Repeat("a", 2027),
	} {
		cases = append(cases, attack{name: "A96 " + name, leaf: svid(prod, uri), want: "spiffe"})
	}
	runAttacks(t, Options{
		Listener: "spiffe {\n trust_domain \"prod.example\" { bundle = [\"prod.crt\"] }\n trust_domain \"test.example\" { bundle = [\"test.crt\"] }\n }",
		Files:    map[string]string{"prod.crt": string(prod.PEM()), "test.crt": string(test.PEM())},
	}, cases)
}
