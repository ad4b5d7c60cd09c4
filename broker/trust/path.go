package trust

import (
	"crypto/x509"
	"time"
)

// path is a way from a leaf to an anchor whose links are signatures that verify; whether it may be
// used is what the checks say.
type path struct {
	certs   []*x509.Certificate // leaf first, anchor last; at least two
	purpose x509.ExtKeyUsage
	mapped  map[string]bool // critical extensions that a rule reads, dotted
}

// finding is one check of one certificate of a path.
type finding struct {
	reason Reason // what a failure is called; names the check
	rule   string
	index  int // in the path
	fact
	byX509 bool // found by x509.Verify, not by a check of ours
}

// static makes all time-independent checks, in the order of checks, leaf first.
func (p *path) static() []finding {
	var all []finding
	for c := range checks {
		for i := range p.certs {
			if checks[c].appliesTo(p, i) {
				all = append(all, finding{reason: checks[c].reason, rule: checks[c].rule, index: i, fact: checks[c].run(p, i)})
			}
		}
	}
	return all
}

// staticFailure is the first failed check, or nil.
func (p *path) staticFailure() *finding {
	for c := range checks {
		for i := range p.certs {
			if !checks[c].appliesTo(p, i) {
				continue
			}
			if f := checks[c].run(p, i); !f.pass {
				return &finding{reason: checks[c].reason, rule: checks[c].rule, index: i, fact: f}
			}
		}
	}
	return nil
}

// dates checks every certificate's validity at now, which is cut to seconds; no skew is allowed (T34).
func (p *path) dates(now time.Time) []finding {
	var all []finding
	for i, c := range p.certs {
		all = append(all, validity(c, i, now))
	}
	return all
}

func validity(c *x509.Certificate, index int, now time.Time) finding {
	f := finding{reason: Expired, rule: "T34 T49", index: index}
	f.evidence = "valid from " + stamp(c.NotBefore) + " to " + stamp(c.NotAfter)
	switch {
	case now.Before(c.NotBefore):
		f.reason = NotYetValid
	case !now.After(c.NotAfter):
		f.pass = true
	}
	return f
}

// window is the time in which all certificates are valid.
func (p *path) window() (notBefore, notAfter time.Time) {
	notBefore, notAfter = p.certs[0].NotBefore, p.certs[0].NotAfter
	for _, c := range p.certs[1:] {
		if c.NotBefore.After(notBefore) {
			notBefore = c.NotBefore
		}
		if c.NotAfter.Before(notAfter) {
			notAfter = c.NotAfter
		}
	}
	return notBefore, notAfter
}

// progress ranks a failure: the higher, the nearer the path came to being accepted.
func progress(r Reason) int {
	for i := range checks {
		if checks[i].reason == r {
			return i
		}
	}
	return len(checks) + map[Reason]int{
		Expired: 1, NotYetValid: 1, UnknownCA: 2, // unknown_ca here: x509 alone objected
		RevokedCRL: 3, RevokedOCSP: 3, CRLStale: 4, OCSPUnavailable: 5,
	}[r]
}
