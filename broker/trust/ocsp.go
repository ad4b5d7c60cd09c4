package trust

import (
	"context"
	"errors"
	"fmt"
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

// askOCSP fills in the responders' word on every certificate of c below its anchor. A response
// stapled by the client counts for the leaf alone (T62). An intermediate that names no responder is
// left to the CRLs: nobody could ever vouch for it by OCSP.
func (s *Snapshot) askOCSP(ctx context.Context, c *chain, statuses []status, in login) {
	for i := range statuses {
		st, sub := &statuses[i].ocsp, &c.subjects[i]
		asked := s.cfg.OCSP == ocspLax || s.cfg.OCSP == ocspStrict
		if !asked || i > 0 && len(sub.cert.OCSPServer) == 0 {
			st.state = ocspOff
			continue
		}
		if i == 0 && len(in.staple) > 0 {
			if a, err := verifyOCSP(in.staple, sub, in.exact, nil, s.delegateRevoked(in.now)); err == nil {
				s.ocsp.offer(sub, a)
			} else {
				st.failure = fmt.Errorf("stapled response: %w", err)
			}
		}
		s.askOne(ctx, sub, st, in)
	}
}

func (s *Snapshot) askOne(ctx context.Context, sub *subject, st *ocspStatus, in login) {
	a := s.ocsp.peek(sub, in.exact)
	var err error
	switch {
	case a != nil:
	case in.fetch && len(sub.cert.OCSPServer) > 0:
		a, err = s.ocsp.ask(ctx, sub, in.exact, s.delegateRevoked(in.now))
	case in.fetch:
		err = errNoResponder
	default:
		err = errors.New("no answer at hand")
	}
	st.answer = a
	switch {
	case a == nil:
		st.failure = errors.Join(st.failure, err)
	case a.word == saysGood:
		st.state = ocspGood
	case a.word == saysRevoked:
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
