package broker

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/policy"
)

// reapInterval is how late a timeout may be noticed. idlePatience is after what time a session is looked
// at again that nothing was going on in: thousands of idle ones that were looked at each time cost
// the processor's caches more than its time.
//
// unrecordedPatience is how long a statement may wait for its record before its client is asked whether it
// is still there: a disk that works answers sooner, and a client that has closed its side may yet read.
const (
	reapInterval       = 100 * time.Millisecond
	unrecordedPatience = time.Second
	idlePatience       = time.Second
)

// reap ends sessions that have outstayed a limit, until ctx ends.
func (s *Server) reap(ctx context.Context) {
	tick := time.NewTicker(reapInterval)
	defer tick.Stop()
	var cancels sync.WaitGroup
	defer cancels.Wait()
	var r rounds
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.tellHeld(now)
			r.sweep(s.live.newcomers(), func(c *session) time.Duration { return c.checkClocks(now, &cancels) })
		}
	}
}

// rounds are the sessions by when they are to be looked at next. One goroutine uses it. Its zero value
// is empty.
type rounds struct {
	slots [idlePatience/reapInterval + 1][]*session
	at    int // the slot that is due
}

// sweep looks at the sessions that are new or due. look says after what time a session has to be looked
// at again; those that have left are forgotten.
func (r *rounds) sweep(came []*session, look func(*session) time.Duration) {
	due := r.slots[r.at]
	for _, list := range [2][]*session{due, came} {
		for _, c := range list {
			if c.left.Load() {
				continue
			}
			ahead := min(max(1, int(look(c)/reapInterval)), len(r.slots)-1)
			slot := &r.slots[(r.at+ahead)%len(r.slots)]
			*slot = append(*slot, c)
		}
	}
	clear(due) // what has left is not to be kept
	r.slots[r.at] = due[:0]
	r.at = (r.at + 1) % len(r.slots)
}

// checkClocks compares the session's clocks with its limits, and says after what time, at the latest, it
// has to do so again. A cancel request runs in cancels.
func (s *session) checkClocks(now time.Time, cancels *sync.WaitGroup) time.Duration {
	s.mu.Lock()
	r := s.relay
	s.mu.Unlock()
	d := s.decided.Load()
	if d == nil || d.grant == nil {
		return reapInterval
	}
	if (s.inQueue(r, d) || r != nil && passed(r.Unrecorded(), unrecordedPatience, now)) && s.client.Conn.HungUp() {
		s.end(relay.End{Reason: relay.ClientClosed})
		return reapInterval
	}
	if r == nil {
		return reapInterval
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
	case clocks.Idle && clocks.Running.IsZero() && !r.Queued():
		return s.patience(&limits, clocks.LastActive, now)
	}
	return reapInterval
}

// patience is how long a session in which nothing is going on needs no look: what begins in this moment is
// not late before its limit has passed.
func (s *session) patience(limits *policy.Session, active, now time.Time) time.Duration {
	soonest := idlePatience
	for _, limit := range []time.Duration{limits.StatementTimeout, s.door.IdleInTransactionTimeout, s.door.OpenBatchTimeout} {
		if limit > 0 {
			soonest = min(soonest, limit)
		}
	}
	if limits.IdleTimeout > 0 {
		soonest = min(soonest, limits.IdleTimeout-now.Sub(active))
	}
	if limits.MaxDuration > 0 {
		soonest = min(soonest, limits.MaxDuration-now.Sub(s.began))
	}
	return soonest
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
