package identity_test

import (
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/pgsignet/pgsignet/policy/identity"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

func TestSPIFFEID(t *testing.T) {
	const id = "spiffe://prod.example/ns/billing/sa/api"
	for _, tt := range []struct {
		name  string
		shape pki.Shape
		id    string
		err   string // a reason
	}{
		{name: "SVID", shape: pki.Shape{SPIFFE: id}, id: id},
		{name: "DNS names beside", shape: pki.Shape{SPIFFE: id, DNS: []string{"a.example"}}, id: id},
		{name: "longest", shape: pki.Shape{SPIFFE: "spiffe://a/" + strings.Repeat("b", 2048-11)},
			id: "spiffe://a/" + strings.Repeat("b", 2048-11)},
		{name: "every character", shape: pki.Shape{SPIFFE: "spiffe://a0_-.z/aZ09._-/..."}, id: "spiffe://a0_-.z/aZ09._-/..."},
		{name: "no URI", shape: pki.Shape{CN: "alice"}},
		{name: "another URI", shape: pki.Shape{URI: []string{"https://a.example/"}}},
		{name: "CA", shape: pki.Shape{SPIFFE: id, IsCA: true, KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature}}, err: identity.ReasonSPIFFE},
		{name: "no digitalSignature", shape: pki.Shape{SPIFFE: id, KeyUsage: []pki.KeyUsageBit{pki.KeyAgreement}}, err: identity.ReasonSPIFFE},
		{name: "no bit", shape: pki.Shape{SPIFFE: id, KeyUsage: []pki.KeyUsageBit{}}, err: identity.ReasonSPIFFE},
		{name: "no key usage", shape: pki.Shape{SPIFFE: id, Omit: []pki.OID{pki.OIDKeyUsage}}, err: identity.ReasonSPIFFE},
		{name: "keyCertSign", shape: pki.Shape{SPIFFE: id, KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature, pki.KeyCertSign}}, err: identity.ReasonSPIFFE},
		{name: "cRLSign", shape: pki.Shape{SPIFFE: id, KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature, pki.CRLSign}}, err: identity.ReasonSPIFFE},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaf := issue(t, tt.shape).X509
			got, domain, err := identity.SPIFFEID(leaf)
			if tt.err != "" {
				wantReason(t, err, tt.err)
			} else if err != nil {
				t.Fatal(err)
			}
			wantDomain, _, _ := strings.Cut(strings.TrimPrefix(tt.id, "spiffe://"), "/")
			if got != tt.id || domain != wantDomain {
				t.Errorf("got %q in %q, want %q", got, domain, tt.id)
			}
			id, err := identity.Extract(leaf, nil)
			if err != nil || id.SPIFFE != tt.id {
				t.Errorf("Extract got %q, %v, want %q", id.SPIFFE, err, tt.id)
			}
		})
	}
}

// FuzzParseSPIFFE: whatever we take, go-spiffe takes and divides alike. The other way round it takes IDs
// without a path and of any length.
func FuzzParseSPIFFE(f *testing.F) {
	for _, seed := range []string{
		"spiffe://prod.example/ns/a/sa/b", "spiffe://a/b/", "spiffe://a//b", "spiffe://A/b", "spiffe://a/..", "spiffe://a",
		"spiffe://a/%41", "SPIFFE://a/b", "spiffe://a:1/b", "spiffe://u@a/b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		domain, err := identity.ParseSPIFFE(raw)
		theirs, theirErr := spiffeid.FromString(raw)
		switch {
		case err == nil && (theirErr != nil || theirs.TrustDomain().Name() != domain || theirs.String() != raw):
			t.Errorf("%q: we take it in %q, go-spiffe gives %v, %v", raw, domain, theirs, theirErr)
		case err != nil && theirErr == nil && theirs.Path() != "" && len(raw) <= 2048 && len(theirs.TrustDomain().Name()) <= 255:
			t.Errorf("%q: go-spiffe takes it, we refuse: %v", raw, err)
		}
	})
}
