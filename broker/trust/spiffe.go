package trust

import (
	"crypto/x509"
	"errors"

	"github.com/pgsignet/pgsignet/policy/identity"
)

// anchorsFor picks the anchors that may vouch for leaf. On a listener with SPIFFE bundles a leaf
// that has a spiffe URI is an SVID, and its trust domain's bundle is all that counts (T26, T27);
// any other leaf is for client_ca.
func (s *Snapshot) anchorsFor(leaf *x509.Certificate) (*anchorSet, *Refusal) {
	if s.domains == nil {
		return s.clients, nil
	}
	id, domain, err := identity.SPIFFEID(leaf)
	switch set, ok := s.domains[domain]; {
	case err != nil:
		return nil, refuseIdentity(err)
	case id == "":
		return s.clients, nil
	case ok:
		return set, nil
	}
	return nil, refuse(UnknownCA, "its trust domain is not one that this server knows", nil)
}

// refuseIdentity turns an error of policy/identity into a refusal of the same reason.
func refuseIdentity(err error) *Refusal {
	e, ok := errors.AsType[*identity.Error](err)
	if !ok {
		return refuse(internalReason, "", err)
	}
	return refuse(Reason(e.Reason()), e.Detail(), nil)
}

// validDomain says that name is a trust domain name.
func validDomain(name string) bool {
	domain, err := identity.ParseSPIFFE("spiffe://" + name + "/w")
	return err == nil && domain == name
}
