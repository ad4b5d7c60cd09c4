package trust

import (
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestT65NoAnswerEndsNoSession: a reload to strict keeps new logins out while the responder is silent, and
// ends no session: silence says nothing against the certificate.
func TestT65NoAnswerEndsNoSession(t *testing.T) {
	f := newOCSPFixture(t)
	f.responder.says(pki.OCSPError(3))
	f.cfg.OCSP = ocspLax
	lax := f.load(nil)
	v, err := lax.Verify(t.Context(), peer(t, f.alice), nil, time.Now())
	yes.compare(t, v, err)
	f.cfg.OCSP = ocspStrict
	strict := f.load(lax)
	no(OCSPUnavailable).check(t, strict, peer(t, f.alice), time.Now())
	if _, err := strict.Recheck(v, time.Now()); err != nil {
		t.Errorf("the session is ended: %v", err)
	}
}

// TestT44Minimum: a subtree with a minimum or maximum, which nobody evaluates, permits nothing.
func TestT44Minimum(t *testing.T) {
	f := newFixture(t)
	acme := pki.O("Acme")
	base := append(pki.DirectoryName(pki.Name{acme}), 0x80, 1, 1) // minimum 1
	sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub", Ext: []pki.Extension{pki.NameConstraints([]pki.GeneralName{base}, nil)}})
	leaf := f.Issue(sub, pki.Shape{Subject: pki.Name{acme, pki.CN("alice")}})
	no(NameConstraint).check(t, f.load(nil), peer(t, leaf), time.Now())
}
