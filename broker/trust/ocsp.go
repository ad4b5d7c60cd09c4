package trust

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Values of Config.OCSP.
const (
	ocspOffMode = "off"
	ocspLax     = "lax"
	ocspStrict  = "strict"
)

// ocspState is the responders' word on a certificate. The zero value is no answer.
type ocspState int

const (
	ocspUnavailable ocspState = iota // no answer, or the responder does not know it
	ocspGood
	ocspRevoked
	ocspOff // nobody is asked
)

type ocspStatus struct {
	state   ocspState
	answer  *ocspAnswer // nil when unavailable
	failure error       // why it is unavailable
}

// asksOCSP says whether responders have a say.
func (s *Snapshot) asksOCSP() bool { return s.cfg.OCSP == ocspLax || s.cfg.OCSP == ocspStrict }

// holdOCSP is what is remembered of responders' words on c, for its session to hold.
func (s *Snapshot) holdOCSP(c *chain) []*ocspEntry {
	if !s.asksOCSP() {
		return nil
	}
	return s.ocsp.hold(c.subjects)
}

// askOCSP fills in the responders' word on every certificate of c below its anchor, and asks about
// all of them at once. A response stapled by the client counts for the leaf alone (T62). An
// intermediate that names no responder is left to the CRLs: nobody could ever vouch for it by OCSP.
func (s *Snapshot) askOCSP(ctx context.Context, c *chain, statuses []status, in login) {
	if !s.asksOCSP() {
		for i := range statuses {
			statuses[i].ocsp.state = ocspOff
		}
		return
	}
	var missing sync.WaitGroup
	for i := range statuses {
		st, sub := &statuses[i].ocsp, &c.subjects[i]
		if i > 0 && len(sub.cert.OCSPServer) == 0 {
			st.state = ocspOff
			continue
		}
		if i == 0 && len(in.staple) > 0 {
			s.takeStaple(sub, st, in)
		}
		if a := s.ocsp.peek(sub, in.exact); a != nil {
			st.take(a)
		} else if err := s.mayAsk(sub, in); err != nil {
			st.failure = errors.Join(st.failure, err)
		} else {
			missing.Go(func() { s.askOne(ctx, sub, st, in) })
		}
	}
	missing.Wait()
}

// takeStaple gives the client's response to the cache, where it counts unless a newer one is known.
func (s *Snapshot) takeStaple(sub *subject, st *ocspStatus, in login) {
	a, err := verifyOCSP(in.staple, sub, in.exact, nil, s.delegateRevoked(in.now))
	if err != nil {
		st.failure = fmt.Errorf("stapled response: %w", err)
		return
	}
	s.ocsp.offer(sub, a)
}

func (s *Snapshot) mayAsk(sub *subject, in login) error {
	if len(sub.cert.OCSPServer) == 0 {
		return errNoResponder
	}
	if !in.fetch {
		return errors.New("no answer at hand")
	}
	return nil
}

// askOne fetches an answer. A parser that panics on what the responder sent gives none.
func (s *Snapshot) askOne(ctx context.Context, sub *subject, st *ocspStatus, in login) {
	defer func() {
		if p := recover(); p != nil {
			*st = ocspStatus{failure: fmt.Errorf("panic in OCSP: %v", p)}
		}
	}()
	a, err := s.ocsp.ask(ctx, sub, in.exact, s.delegateRevoked(in.now))
	if err != nil {
		st.failure = errors.Join(st.failure, err)
		return
	}
	st.take(a)
}

func (st *ocspStatus) take(a *ocspAnswer) {
	st.answer = a
	switch a.word {
	case saysGood:
		st.state = ocspGood
	case saysRevoked:
		st.state = ocspRevoked
	default:
		st.failure = errors.New("the responder does not know the certificate")
	}
}

// delegateRevoked says whether a CRL revokes an OCSP delegate.
func (s *Snapshot) delegateRevoked(now time.Time) func(*subject) bool {
	return func(delegate *subject) bool {
		return s.crls != nil && s.crls.lookup(delegate, now).state == crlRevoked
	}
}

func (st ocspStatus) fact() fact {
	switch st.state {
	case ocspGood:
		return passed("good, said at " + stamp(st.answer.thisUpdate) + ", until " + stamp(st.answer.until))
	case ocspRevoked:
		return failed("revoked since %s, by the CA's OCSP responder", stamp(st.answer.revokedAt))
	case ocspOff:
		return passed("no responder is asked")
	}
	return failed("no OCSP answer")
}
