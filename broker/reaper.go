package broker

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

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
	var cancels sync.WaitGroup
	defer cancels.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, c := range s.live.all() {
				c.checkClocks(now, &cancels)
			}
		}
	}
}

// checkClocks compares the session's clocks with its limits. A cancel request runs in cancels.
func (s *session) checkClocks(now time.Time, cancels *sync.WaitGroup) {
	s.mu.Lock()
	r := s.relay
	s.mu.Unlock()
	d := s.decided.Load()
	if d == nil || d.grant == nil {
		return
	}
	if s.inQueue(r, d) && s.client.Conn.HungUp() {
		s.end(relay.End{Reason: relay.ClientClosed})
		return
	}
	if r == nil {
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
	case passed(clocks.Running, limits.StatementTimeout, now) && !d.request.Replication:
		s.overdue(r, clocks.Running, now.Sub(clocks.Running)-limits.StatementTimeout, cancels)
	}
}

// inQueue says whether the session waits for a server connection, its first or another. Meanwhile
// nobody reads from its client, who would keep its place after it has gone (W89).
func (s *session) inQueue(r *relay.Session, d *decision) bool {
	if r == nil {
		return d.grant.Admin == ""
	}
	return r.Queued()
}

// statementGrace is how long a server may take to cancel a statement whose time is up (W94).
const statementGrace = 5 * time.Second

// overdue acts on a statement that began at that time and is late: it is cancelled, and if that does
// not help, the session ends.
func (s *session) overdue(r *relay.Session, began time.Time, late time.Duration, cancels *sync.WaitGroup) {
	if late > statementGrace {
		s.end(timeout(reasonStatementTimeout, pgwire.QueryCanceled, "statement timeout, and the server did not cancel"))
		return
	}
	if s.cancelled.Swap(began.UnixNano()) == began.UnixNano() {
		return
	}
	cancels.Go(func() {
		ctx, stop := context.WithTimeout(s.ctx, statementGrace)
		defer stop()
		delivered, err := r.Cancel(ctx)
		if !delivered {
			s.cancelled.Store(0) // once more at the next sweep
		}
		s.server.log.Info("statement cancelled", zap.Stringer("sid", s.id), zap.String("reason", string(reasonStatementTimeout)),
			zap.Bool("delivered", delivered), zap.Error(err))
	})
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
