package upstream

import (
	"crypto/tls"
	"errors"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Credential is how the broker logs in as a role. Exactly one of the two yields something: with a
// password the login is SCRAM-SHA-256 with channel binding, without one it is the certificate.
// Both are called once for each attempt and are safe for concurrent use.
type Credential interface {
	// TLSCertificate returns the certificate to show, with Leaf set; nil for none.
	TLSCertificate(role string) (*tls.Certificate, error)
	// Password returns the role's password; "" for none.
	Password(role string) (string, error)
}

// Certificate is the credential "certificate": one certificate of the broker's own, which the
// server maps to roles. It is read at every dial, so that it rotates (T80).
type Certificate struct {
	Load func() *tls.Certificate // Leaf set
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

func noCredential(cause error) *LoginError {
	return newError(pgwire.SQLServerRejectedEstablishmentOfSQLConnection, ReasonCredential,
		"the broker has no credential for the database server", cause)
}
