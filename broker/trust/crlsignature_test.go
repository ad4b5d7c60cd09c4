package trust

import (
	"slices"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestAnchorRevoked: an anchor of its own is trusted whatever its issuer's list says; a notice says so.
func TestAnchorRevoked(t *testing.T) {
	f := newCRLFixture(t)
	sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub"})
	f.cfg.ClientCA = append(f.cfg.ClientCA, f.WriteCA(sub, "sub"))
	f.cfg.CRL = []string{f.crl(f.Clients, "a.crl", revoke(&sub.Leaf)), f.crl(sub, "sub.crl", pki.CRLShape{})}
	s := f.load(nil)
	yes.check(t, s, peer(t, f.Issue(sub, pki.Shape{CN: "carol"})), time.Now())
	if !slices.Contains(kinds(s), "anchor_revoked") {
		t.Errorf("notices %v, want anchor_revoked", kinds(s))
	}
}

// TestCRLSignatures: every algorithm that a CA may use.
func TestCRLSignatures(t *testing.T) {
	f := newCRLFixture(t)
	for _, tt := range []struct {
		kind pki.KeyKind
		alg  pki.SigAlg
	}{
		{pki.P256, ""}, {pki.P384, ""}, {pki.P521, ""}, {pki.Ed25519, ""}, {pki.RSA2048, ""}, {pki.RSA2048, pki.SHA256WithRSAPSS},
	} {
		ca := f.Root(pki.Shape{CN: "CA", Kind: tt.kind})
		leaf := f.Issue(ca, pki.Shape{CN: "alice"})
		f.cfg.ClientCA = []string{f.WriteCA(ca, "ca")}
		f.cfg.CRL = []string{f.crl(ca, "a.crl", pki.CRLShape{SigAlg: tt.alg})}
		yes.check(t, f.load(nil), peer(t, leaf), time.Now())
		list := revoke(leaf)
		list.SigAlg = tt.alg
		f.crl(ca, "a.crl", list)
		no(RevokedCRL).check(t, f.load(nil), peer(t, leaf), time.Now())
	}
}
