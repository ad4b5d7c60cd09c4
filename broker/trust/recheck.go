package trust

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Recheck decides about a live session again under s, a newer snapshot than the one that admitted
// it, at now (T65). It asks no responder and costs a few microseconds while the anchors that
// matter stay. On nil the result replaces v: its Anchors and NotAfter may have changed.
//
// The error is a *Refusal when the certificate is revoked, when no anchor vouches for it any more,
// or when it breaks a rule that s has and the old snapshot had not. Three things end no session:
// a date that passed since (NotAfter then lies before now, and on_expiry decides, T67), a CRL that
// grew stale or went missing, and an OCSP responder that gives no answer: none of them says
// anything against the certificate.
func (s *Snapshot) Recheck(v *Verified, now time.Time) (next *Verified, err error) {
	defer func() {
		if p := recover(); p != nil {
			next, err = nil, refuse(internalReason, "", fmt.Errorf("panic in verification: %v", p))
		}
	}()
	in := login{peer: v.entry.peer, now: now.UTC().Truncate(time.Second), exact: now}
	set, refusal := s.anchorsFor(v.Leaf)
	if refusal != nil {
		return nil, refusal
	}
	e := v.entry
	if _, ok := e.under(set, s.mapped); !ok {
		if e, refusal = s.rebuild(v, set, in); refusal != nil {
			return nil, refusal
		}
	}
	return s.readmit(v, e, set, in)
}

// Standing is what Recheck starts from and what it may change: of equal Standings it finds the same.
type Standing struct {
	entry      *entry
	anchors    string
	notAfter   time.Time
	revocation string
}

// Standing is how v stands under the snapshot that has judged it last.
func (v *Verified) Standing() Standing {
	return Standing{v.entry, strings.Join(v.Anchors, " "), v.NotAfter, v.Revocation}
}

// Unaffected says that Recheck finds v, and every other of its Standing, as it was: what has changed
// since concerns other certificates (T64).
func (s *Snapshot) Unaffected(v *Verified, now time.Time) bool {
	next, err := s.Recheck(v, now)
	return err == nil && next.Standing() == v.Standing()
}

// rebuild makes the chains under new anchors, at now or, for a certificate that has expired since,
// at the time of its login.
func (s *Snapshot) rebuild(v *Verified, set *anchorSet, in login) (*entry, *Refusal) {
	e, refusal := s.build(v.entry.key, set, in)
	if refusal == nil {
		s.cache.put(e)
		return e, nil
	}
	if refusal.reason == Expired || refusal.reason == NotYetValid {
		in.now = v.at
		return s.build(v.entry.key, set, in)
	}
	return nil, refusal
}

// readmit keeps every chain of e that nothing is known against.
func (s *Snapshot) readmit(v *Verified, e *entry, set *anchorSet, in login) (*Verified, error) {
	chains, ok := e.under(set, s.mapped)
	if !ok {
		return nil, refuse(internalReason, "", nil)
	}
	next := &Verified{Leaf: v.Leaf, Report: Report{now: in.now}, entry: e, at: v.at}
	var worst *finding
	var nearest *chain
	for _, c := range chains {
		statuses, f := s.revocation(context.Background(), c, in)
		keep := f == nil || f.reason == CRLStale || f.reason == OCSPUnavailable
		next.Report.runs = append(next.Report.runs, run{path: c.path, anchored: true, accepted: keep, statuses: statuses})
		if keep {
			next.accept(c, statuses)
			next.answers = append(next.answers, s.holdOCSP(c)...)
		} else {
			worst, nearest = f, c
		}
	}
	if len(next.Chains) > 0 {
		return next, nil
	}
	refusal := s.refusal(nearest.path, worst, in.now, nil)
	refusal.report = next.Report
	return nil, refusal
}
