package trust

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Notice is something about the loaded material that an operator should know, and that is no error.
type Notice struct {
	Kind string // slug: anchor_expired, anchor_expiring, …
	File string // where, or ""
	Text string // printable ASCII
}

// expiringSoon is how long before its end a certificate is warned about.
const expiringSoon = 30 * 24 * time.Hour

// Notices lists what `check` warns about and what a reload reports, in a stable order.
func (s *Snapshot) Notices() []Notice { return s.notices }

func (s *Snapshot) notice(kind, file, format string, args ...any) {
	s.notices = append(s.notices, Notice{Kind: kind, File: file, Text: ascii(fmt.Sprintf(format, args...))})
}

// noteAnchors warns about anchors and about the server's own certificate (T36, T46).
func (s *Snapshot) noteAnchors(now time.Time) {
	if s.server != nil && s.server.Leaf.NotAfter.Before(now.Add(expiringSoon)) {
		leaf := s.server.Leaf
		s.notice("certificate_expiring", s.cfg.CertFile, "certificate \"%s\" ends on %s", certText(leaf), stamp(leaf.NotAfter))
	}
	for _, ca := range s.Anchors() {
		switch {
		case now.After(ca.NotAfter):
			s.notice("anchor_expired", "", "CA certificate \"%s\" expired on %s: nothing it issued can log in", certText(ca), stamp(ca.NotAfter))
		case now.Before(ca.NotBefore):
			s.notice("anchor_not_yet_valid", "", "CA certificate \"%s\" is valid only from %s", certText(ca), stamp(ca.NotBefore))
		case ca.NotAfter.Before(now.Add(expiringSoon)):
			s.notice("anchor_expiring", "", "CA certificate \"%s\" ends on %s", certText(ca), stamp(ca.NotAfter))
		}
		s.noteForm(ca)
	}
}

// noteForm warns about what RFC 5280 asks of a CA and verification does not (T46).
func (s *Snapshot) noteForm(ca *x509.Certificate) {
	if _, critical, _ := extension(ca, oidBasicConstraints); !critical {
		s.notice("anchor_form", "", "CA certificate \"%s\": basicConstraints is not critical", certText(ca))
	}
	if _, critical, ok := extension(ca, oidPolicyConstr); ok && !critical {
		s.notice("anchor_form", "", "CA certificate \"%s\": policyConstraints is not critical", certText(ca))
	}
	if len(ca.SubjectKeyId) == 0 {
		s.notice("anchor_form", "", "CA certificate \"%s\" has no subject key identifier", certText(ca))
	}
	for _, id := range ca.UnhandledCriticalExtensions {
		s.notice("anchor_critical_ext", "", "CA certificate \"%s\" has the unknown critical extension %s: nothing it issued can log in", certText(ca), id)
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
