package trust

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	"github.com/pgsignet/pgsignet/policy/identity"
)

// Limits on what a client may present, beside those of identity.CheckLimits; anything above is
// refused before it costs anything (T17).
const (
	maxPresented = 10   // certificates
	maxRSABits   = 8192 // of a presented key; crypto/tls has this limit for the leaf alone
)

// checkLimits refuses presented certificates that are too many or too large.
func checkLimits(peer []*x509.Certificate) *Refusal {
	if len(peer) > maxPresented {
		return refuse(CertLimits, fmt.Sprintf("%d certificates presented, more than %d", len(peer), maxPresented), nil)
	}
	for _, c := range peer {
		if err := identity.CheckLimits(c); err != nil {
			return refuseIdentity(err)
		}
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSABits {
			return refuse(CertLimits, fmt.Sprintf("an RSA key of %d bits, more than %d", k.N.BitLen(), maxRSABits), nil)
		}
	}
	return nil
}
