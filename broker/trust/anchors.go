package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
)

// anchorSet is a set of trust anchors, immutable once built.
type anchorSet struct {
	list []*x509.Certificate
	pool *x509.CertPool
	ids  map[fingerprint]string // to lower-case hex
}

// fingerprint is the SHA-256 of a certificate's DER.
type fingerprint [sha256.Size]byte

func fingerprintOf(c *x509.Certificate) fingerprint { return sha256.Sum256(c.Raw) }

func (f fingerprint) String() string { return hex.EncodeToString(f[:]) }

func newAnchorSet(cas []*x509.Certificate) (*anchorSet, error) {
	set := &anchorSet{pool: x509.NewCertPool(), ids: map[fingerprint]string{}}
	for _, ca := range cas {
		if err := checkAnchor(ca); err != nil {
			return nil, fmt.Errorf("certificate %q: %w", ca.Subject, err)
		}
		set.list = append(set.list, ca)
		set.pool.AddCert(ca)
		set.ids[fingerprintOf(ca)] = fingerprintOf(ca).String()
	}
	return set, nil
}

// checkAnchor holds a certificate to what an anchor must be (T36).
func checkAnchor(ca *x509.Certificate) error {
	switch {
	case ca.Version != 3:
		return fmt.Errorf("is X.509 v%d: a CA must be v3", ca.Version)
	case !ca.BasicConstraintsValid || !ca.IsCA:
		return fmt.Errorf("is not a CA (basicConstraints)")
	case ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("may not sign certificates (keyUsage)")
	}
	return nil
}
