package trust

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

// Limits on what a client may present; anything above is refused before it costs anything (T17).
const (
	maxPresented  = 10       // certificates
	maxCertBytes  = 32 << 10 // of one certificate
	maxSubject    = 4 << 10  // bytes of a subject
	maxAttributes = 32       // in a subject
	maxValue      = 1 << 10  // bytes of one attribute
	maxNames      = 64       // in subjectAltName
	maxRSABits    = 8192     // of a presented key; crypto/tls has this limit for the leaf alone
)

// checkLimits returns what is too large about the presented certificates, or "".
func checkLimits(peer []*x509.Certificate) string {
	if len(peer) > maxPresented {
		return fmt.Sprintf("%d certificates presented, more than %d", len(peer), maxPresented)
	}
	for _, c := range peer {
		if s := certTooLarge(c); s != "" {
			return s
		}
	}
	return ""
}

func certTooLarge(c *x509.Certificate) string {
	if len(c.Raw) > maxCertBytes {
		return fmt.Sprintf("a certificate of %d bytes, more than %d", len(c.Raw), maxCertBytes)
	}
	if len(c.RawSubject) > maxSubject {
		return fmt.Sprintf("a subject of %d bytes, more than %d", len(c.RawSubject), maxSubject)
	}
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSABits {
		return fmt.Sprintf("an RSA key of %d bits, more than %d", k.N.BitLen(), maxRSABits)
	}
	count := 0
	for a := range attributes(c.RawSubject) {
		if count++; count > maxAttributes {
			return fmt.Sprintf("a subject of more than %d attributes", maxAttributes)
		}
		if len(a) > maxValue {
			return fmt.Sprintf("a subject value of %d bytes, more than %d", len(a), maxValue)
		}
	}
	if n := countNames(c); n > maxNames {
		return fmt.Sprintf("%d subject alternative names, more than %d", n, maxNames)
	}
	return ""
}

func countNames(c *x509.Certificate) int {
	names, err := generalNames(extensionValue(c, oidSubjectAltName))
	if err != nil {
		return maxNames + 1 // Go parsed what we cannot: refuse
	}
	return len(names)
}
