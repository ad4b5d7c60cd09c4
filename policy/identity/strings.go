package identity

import (
	"crypto/x509"
	"strings"
)

// Strings returns, by dotted OID, every extension of the leaf that is exactly one string, whether a
// rule reads it or not; what is the standards' own (id-ce, id-pe) or no string is left out, and so is
// an OID that occurs twice.
func Strings(leaf *x509.Certificate) map[string]string {
	found, seen := map[string]string{}, map[string]bool{}
	for _, e := range leaf.Extensions {
		oid := e.Id.String()
		if strings.HasPrefix(oid, "2.5.29.") || strings.HasPrefix(oid, "1.3.6.1.5.5.7.1.") {
			continue
		}
		if text, err := extensionText(e.Value); err == nil && !seen[oid] {
			found[oid] = text
		} else {
			delete(found, oid)
		}
		seen[oid] = true
	}
	return found
}
