package upstream

import (
	"crypto/tls"
	"errors"
)

// Credential is how the broker logs in as a role. Exactly one of the two yields something: with a
// password the login is SCRAM-SHA-256 with channel binding, without one it is the certificate.
// Both are called once for each Dial and are safe for concurrent use.
type Credential interface {
	// TLSCertificate returns the certificate to show, with Leaf set; nil for none.
	TLSCertificate(role string) (*tls.Certificate, error)
	// Password returns the role's password; "" for none.
	Password(role string) (string, error)
}

// Certificate is the credential "certificate": one certificate of the broker's own, which the
// server maps to roles.
type Certificate struct {
	// Load returns the certificate in force, with Leaf set. It is called at every dial, so that the
	// certificate rotates without a restart (T80).
	Load func() *tls.Certificate
}

// TLSCertificate returns the certificate in force.
func (c Certificate) TLSCertificate(string) (*tls.Certificate, error) {
	cert := c.Load()
	if cert == nil || cert.Leaf == nil {
		return nil, noCredential(errors.New("no client certificate is loaded"))
	}
	return cert, nil
}

// Password returns none.
func (Certificate) Password(string) (string, error) { return "", nil }
