package trust

import (
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// spiffeFixture is a listener with the bundles of two trust domains beside its client CA.
func spiffeFixture(t *testing.T) (f *fixture, a, b *pki.CA) {
	f = newFixture(t)
	a, b = f.Root(pki.Shape{CN: "Domain A"}), f.Root(pki.Shape{CN: "Domain B"})
	f.cfg.SPIFFE = map[string][]string{"a.example": {f.WriteCA(a, "a")}, "b.example": {f.WriteCA(b, "b")}}
	return f, a, b
}

// TestA97TrustDomains: the CA of one domain never vouches for another (T27).
func TestA97TrustDomains(t *testing.T) {
	f, a, b := spiffeFixture(t)
	s := f.load(nil)
	const idA = "spiffe://a.example/ns/x/sa/y"
	for _, tt := range []struct {
		name string
		leaf *pki.Leaf
		want want
	}{
		{"A by A", f.Issue(a, pki.Shape{SPIFFE: idA}), yes},
		{"A by B", f.Issue(b, pki.Shape{SPIFFE: idA}), no(UnknownCA)},
		{"A by client_ca", f.client(pki.Shape{SPIFFE: idA}), no(UnknownCA)},
		{"unknown domain by client_ca", f.client(pki.Shape{SPIFFE: "spiffe://c.example/x"}), no(UnknownCA)},
		{"no SVID by client_ca", f.client(pki.Shape{}), yes},
		{"no SVID by A", f.Issue(a, pki.Shape{CN: "alice"}), no(UnknownCA)},
		{"https URI by A", f.Issue(a, pki.Shape{CN: "alice", URI: []string{"https://a.example/x"}}), no(UnknownCA)},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.want.check(t, s, peer(t, tt.leaf), time.Now()) })
	}
}

// TestA94TwoSPIFFEIDs, with A95: an SVID has one URI (T26).
func TestA94TwoSPIFFEIDs(t *testing.T) {
	f, a, _ := spiffeFixture(t)
	p := peer(t, f.Issue(a, pki.Shape{URI: []string{"spiffe://a.example/x", "spiffe://a.example/y"}}))
	no(Ambiguous).check(t, f.load(nil), p, time.Now())
}

// TestA95SPIFFEAndOtherURI: neither does another URI fit beside it (T26).
func TestA95SPIFFEAndOtherURI(t *testing.T) {
	f, a, _ := spiffeFixture(t)
	p := peer(t, f.Issue(a, pki.Shape{URI: []string{"https://a.example/x", "spiffe://a.example/y"}}))
	no(Ambiguous).check(t, f.load(nil), p, time.Now())
}

// TestA96BadSPIFFEIDs: the grammar on raw bytes, and the SVID's form (T25, T26).
func TestA96BadSPIFFEIDs(t *testing.T) {
	f, a, _ := spiffeFixture(t)
	s := f.load(nil)
	for _, id := range []string{
		"SPIFFE://a.example/x", "spiffe://A.example/x", "spiffe://a.example:1/x", "spiffe://u@a.example/x",
		"spiffe://a.example//x", "spiffe://a.example/../x", "spiffe://a.example/./x", "spiffe://a.example/%2e",
		"spiffe://a.example/%00", "spiffe://a.example/x/", "spiffe://a.example/x?q", "spiffe://a.example/x#f",
		"spiffe://a.example", "spiffe://a.example/", "spiffe:///x", "spiffe:a.example/x",
	} {
		t.Run(id, func(t *testing.T) {
			leaf := f.Issue(a, pki.Shape{URI: []string{id}})
			if leaf.X509 == nil {
				t.Skipf("Go cannot parse it, a client sees alert 50: %v", leaf.ParseErr)
			}
			no(SPIFFE).check(t, s, peer(t, leaf), time.Now())
		})
	}
	const good = "spiffe://a.example/x"
	for name, shape := range map[string]pki.Shape{
		"CA":             {SPIFFE: good, IsCA: true},
		"no key usage":   {SPIFFE: good, Omit: []pki.OID{pki.OIDKeyUsage}},
		"no signing":     {SPIFFE: good, KeyUsage: []pki.KeyUsageBit{pki.KeyEncipherment}},
		"signs others":   {SPIFFE: good, KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature, pki.KeyCertSign}},
		"signs the CRLs": {SPIFFE: good, KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature, pki.CRLSign}},
	} {
		t.Run(name, func(t *testing.T) { no(SPIFFE).check(t, s, peer(t, f.Issue(a, shape)), time.Now()) })
	}
	t.Run("without bundles they are URIs", func(t *testing.T) {
		plain := newFixture(t)
		yes.check(t, plain.load(nil), peer(t, plain.client(pki.Shape{URI: []string{"SPIFFE://a.example/x"}})), time.Now())
	})
}

// TestBadTrustDomain: a name no certificate can have is a load error.
func TestBadTrustDomain(t *testing.T) {
	f, a, _ := spiffeFixture(t)
	f.cfg.SPIFFE["A.example/"] = []string{f.WriteCA(a, "x")}
	if _, err := Load(f.cfg, time.Now(), nil); err == nil {
		t.Error("loaded")
	}
}
