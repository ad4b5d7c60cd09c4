package broker

import (
	"context"
	"time"

	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/pgwire"
)

// reapInterval is how late a timeout may be noticed. One sweep looks at a few clocks of each session
// and takes no lock of theirs.
const reapInterval = 100 * time.Millisecond

// reap ends sessions that have outstayed a limit, until ctx ends.
func (s *Server) reap(ctx context.Context) {
	tick := time.NewTicker(reapInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, c := range s.live.all() {
				c.checkClocks(now)
			}
		}
	}
}

// checkClocks compares the session's clocks with its limits.
func (s *session) checkClocks(now time.Time) {
	s.mu.Lock()
	r := s.relay
	s.mu.Unlock()
	d := s.decided.Load()
	if r == nil || d == nil || d.grant == nil {
		return
	}
	limits, clocks := d.grant.Session, r.Clocks()
	switch {
	case limits.MaxDuration > 0 && now.Sub(s.began) > limits.MaxDuration:
		s.end(timeout(reasonMaxDuration, pgwire.AdminShutdown, "the session has reached its longest duration"))
	case passed(clocks.IdleInTransaction, s.door.IdleInTransactionTimeout, now):
		s.end(timeout(reasonIdleTimeout, pgwire.IdleInTransactionSessionTimeout, "idle-in-transaction timeout"))
	case passed(clocks.OpenBatch, s.door.OpenBatchTimeout, now):
		s.end(timeout(reasonIdleTimeout, pgwire.IdleSessionTimeout, "a batch of messages was left without Sync"))
	case clocks.Idle && passed(clocks.LastActive, limits.IdleTimeout, now):
		s.end(timeout(reasonIdleTimeout, pgwire.IdleSessionTimeout, "idle-session timeout"))
	}
}

// passed says whether something has been going on since a time for longer than a limit. No limit
// and nothing going on are both never.
func passed(since time.Time, limit time.Duration, now time.Time) bool {
	return limit > 0 && !since.IsZero() && now.Sub(since) > limit
}

func timeout(reason relay.Reason, code, cause string) relay.End {
	return relay.End{Reason: reason, Tell: &pgwire.Error{
		Severity: pgwire.Fatal, Code: code, Slug: string(reason),
		Message: "terminating connection: " + cause,
	}}
}
