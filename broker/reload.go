package broker

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/policy"
)

// Snapshot is what is in force. It never changes.
func (s *Server) Snapshot() *Snapshot { return s.snapshot.Load() }

// Apply puts a new snapshot in force, in one step, and decides every live session again with its
// login's inputs: those that would not get the same access now are ended, and nobody else notices
// (T65). Sessions in the middle of a login are told by the pointer itself (T90). It returns how many
// sessions were ended, and an error, with nothing changed, when next lacks what a listener needs.
// Calls take turns.
func (s *Server) Apply(next *Snapshot) (ended int, err error) {
	for _, d := range s.doors {
		if next.Trust[d.name] == nil {
			return 0, fmt.Errorf("listener %q has no certificates", d.name)
		}
	}
	if err := next.CheckSeparation(); err != nil {
		return 0, err
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	s.expectCounts(next)
	s.snapshot.Store(next)
	s.snapshotReplaced()
	return s.decideAgain(next, time.Now()), nil
}

// ApplyTrust is Apply for a snapshot that differs by what one listener trusts. What is on each chain of
// its live sessions is looked at once, and a session is decided again only if its chain fares
// otherwise than before: a revocation costs by the chains and by whom it ends, not by who is live (T64).
func (s *Server) ApplyTrust(listener string, newest *trust.Snapshot) (ended int, err error) {
	s.applying.Lock()
	defer s.applying.Unlock()
	now := s.snapshot.Load()
	if newest == nil || now.Trust[listener] == nil {
		return 0, fmt.Errorf("listener %q has no certificates", listener)
	}
	if now.Trust[listener] == newest {
		return 0, nil // a reload has done so
	}
	next := *now
	next.Trust = maps.Clone(now.Trust)
	next.Trust[listener] = newest
	if err := next.CheckSeparation(); err != nil {
		return 0, err
	}
	s.snapshot.Store(&next)
	s.snapshotReplaced()
	return s.decideChains(listener, &next, time.Now()), nil
}

// decideChains is decideAgain when the trust of one listener is all that has changed.
func (s *Server) decideChains(listener string, next *Snapshot, now time.Time) (ended int) {
	unaffected := make(map[trust.Standing]bool)
	for _, c := range s.live.all() {
		held := c.verified.Load()
		if held == nil || c.door.name != listener {
			continue // not verified yet: it will see next itself
		}
		standing := held.Standing()
		same, known := unaffected[standing]
		if !known {
			same = next.Trust[listener].Unaffected(held, now)
			unaffected[standing] = same
		}
		if !same && s.endWithdrawn(c, next, now) {
			ended++
		}
	}
	return ended
}

// decideAgain ends the sessions that next withdraws something from.
func (s *Server) decideAgain(next *Snapshot, now time.Time) (ended int) {
	for _, c := range s.live.all() {
		if s.endWithdrawn(c, next, now) {
			ended++
		}
	}
	return ended
}

// endWithdrawn ends a session that next withdraws something from, and says whether it did.
func (s *Server) endWithdrawn(c *session, next *Snapshot, now time.Time) bool {
	end := c.judge(next, now)
	if end == nil || !c.end(*end) {
		return false
	}
	s.log.Info("session ended", zap.Stringer("sid", c.id),
		zap.String("reason", string(end.Reason)), zap.String("cause", end.Tell.Message))
	return true
}

// judge decides the session again under next: nil when it may go on. A session without a decision is
// still on its way there and will see next itself. What a session began with, it keeps; only its
// certificate's chains and end are followed.
func (s *session) judge(next *Snapshot, now time.Time) *relay.End {
	d, held := s.decided.Load(), s.verified.Load()
	if d == nil || d.grant == nil || held == nil {
		return nil
	}
	again := &decision{snapshot: next, request: d.request}
	var err error
	if again.verified, err = next.Trust[s.door.name].Recheck(held, now); err != nil {
		return withdrawn(err)
	}
	if again.identity, err = again.verified.Identity(next.Policy.OIDs()); err != nil {
		return withdrawn(err)
	}
	again.request.Identity = again.identity
	if again.grant, err = s.askPolicy(next, again.request); err != nil {
		return withdrawn(err)
	}
	if !sameAccess(d, again) {
		return &relay.End{Reason: reasonPolicyChanged, Tell: policyChanged()}
	}
	s.verified.CompareAndSwap(held, again.verified)
	s.watchExpiry()
	return nil
}

// withdrawn is the end of a session whose login would be refused now. The client reads facts about
// its certificate and nothing about rules.
func withdrawn(err error) *relay.End {
	refused, ok := errors.AsType[*trust.Refusal](err)
	if !ok {
		if denied, ok := errors.AsType[*policy.Denied](err); ok && denied.Reason() == string(reasonLocked) {
			return endedFor(reasonLocked, "this certificate was locked", "")
		}
		return &relay.End{Reason: reasonPolicyChanged, Tell: policyChanged()}
	}
	switch trust.Reason(refused.Reason()) {
	case trust.RevokedCRL, trust.RevokedOCSP:
		return endedFor(reasonCertRevoked, refused.Public(), refused.Detail())
	}
	return endedFor(reasonPolicyChanged, refused.Public(), refused.Detail())
}

// endedFor is an end that the client reads as 57P01 with its cause (T66).
func endedFor(reason relay.Reason, cause, detail string) *relay.End {
	return &relay.End{Reason: reason, Tell: &pgwire.Error{
		Severity: pgwire.Fatal, Code: pgwire.AdminShutdown, Slug: string(reason),
		Message: "terminating connection: " + cause, DetailText: detail,
	}}
}
