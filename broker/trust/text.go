package trust

import (
	"crypto/x509"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/policy/identity"
)

// maxText caps a certificate's text in a message, in bytes.
const maxText = 200

// stamp prints a time as it is shown to clients and operators: RFC 3339, UTC, seconds.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// nameText prints a Name for people: as identity does, in ASCII and cut to maxText.
func nameText(raw []byte) string {
	dn, err := identity.FormatDN(raw)
	if err != nil {
		return "(unreadable name)"
	}
	return ascii(dn)
}

// ascii replaces everything but printable ASCII, and cuts.
func ascii(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
	if len(s) > maxText {
		s = s[:maxText-3] + "..."
	}
	return s
}

// certText names a certificate: its subject, or its serial number when that is empty.
func certText(c *x509.Certificate) string {
	if emptyName(c.RawSubject) {
		return "serial " + c.SerialNumber.Text(16)
	}
	return nameText(c.RawSubject)
}
