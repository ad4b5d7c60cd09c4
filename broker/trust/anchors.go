package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// fingerprint is the SHA-256 of a certificate's DER.
type fingerprint [sha256.Size]byte

func fingerprintOf(c *x509.Certificate) fingerprint { return sha256.Sum256(c.Raw) }

func (f fingerprint) String() string { return hex.EncodeToString(f[:]) }

// anchorSet is a set of trust anchors, immutable once built.
type anchorSet struct {
	list      []*x509.Certificate
	pool      *x509.CertPool
	bySubject map[string][]*x509.Certificate // key: RawSubject
	ids       map[fingerprint]string         // to lower-case hex
}

// newAnchorSet takes certificates parsed by this package and not shared: it strikes the critical
// extensions that constraints.go evaluates from their unhandled ones.
func newAnchorSet(cas []*x509.Certificate) (*anchorSet, error) {
	set := &anchorSet{
		pool:      x509.NewCertPool(),
		bySubject: map[string][]*x509.Certificate{},
		ids:       map[fingerprint]string{},
	}
	for _, ca := range cas {
		id := fingerprintOf(ca)
		if _, ok := set.ids[id]; ok {
			continue
		}
		if err := checkAnchor(ca); err != nil {
			return nil, fmt.Errorf("CA certificate \"%s\" %w", certText(ca), err)
		}
		ca = withHandled(ca, nil)
		set.list = append(set.list, ca)
		set.pool.AddCert(ca)
		set.bySubject[string(ca.RawSubject)] = append(set.bySubject[string(ca.RawSubject)], ca)
		set.ids[id] = id.String()
	}
	return set, nil
}

// equal says that both hold the same anchors.
func (set *anchorSet) equal(other *anchorSet) bool {
	if len(set.ids) != len(other.ids) {
		return false
	}
	for id := range set.ids {
		if _, ok := other.ids[id]; !ok {
			return false
		}
	}
	return true
}

// checkAnchor holds a certificate to what an anchor must be (T36). Its dates are only warned about.
func checkAnchor(ca *x509.Certificate) error {
	switch {
	case ca.Version != 3:
		return fmt.Errorf("is X.509 v%d: a CA must be v3", ca.Version)
	case !ca.BasicConstraintsValid || !ca.IsCA:
		return errors.New("is not a CA: basicConstraints does not say CA:TRUE")
	case hasExtension(ca, oidKeyUsage) && ca.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("may not sign certificates: keyUsage lacks keyCertSign")
	case emptyName(ca.RawSubject):
		return fmt.Errorf("(serial %s) has no subject", ca.SerialNumber.Text(16))
	}
	if f := keyFact(ca); !f.pass {
		return fmt.Errorf("has a key that is too weak (%s): RSA from 2048 bits, P-256, P-384, P-521 or Ed25519", f.evidence)
	}
	return nil
}

// withHandled returns c without those unhandled critical extensions that this package evaluates
// itself (name constraints and alternative names of every type) or that a rule reads. c is not
// changed: crypto/tls shares parsed certificates between connections.
func withHandled(c *x509.Certificate, mapped map[string]bool) *x509.Certificate {
	handled := func(id asn1.ObjectIdentifier) bool {
		return id.Equal(oidNameConstraints) || id.Equal(oidSubjectAltName) || mapped[id.String()]
	}
	if !slices.ContainsFunc(c.UnhandledCriticalExtensions, handled) {
		return c
	}
	own := *c
	own.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(c.UnhandledCriticalExtensions), handled)
	return &own
}
