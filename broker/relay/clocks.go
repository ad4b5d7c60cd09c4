package relay

import (
	"sync/atomic"
	"time"
)

// clocks are the times, in Unix nanoseconds, that the owner's reaper compares with its limits; 0
// means that nothing of the kind is going on. Reading them takes no lock.
type clocks struct {
	lastActive atomic.Int64 // the client last sent, or was last answered
	inTx       atomic.Int64 // a transaction is open and waits for the client
	statement  atomic.Int64 // the oldest unanswered request was forwarded
	running    atomic.Int64 // the first statement was forwarded that no ReadyForQuery has ended
	batch      atomic.Int64 // extended messages were sent and no Sync yet

	ran bool // a statement is being forwarded; owned by the client's half
}

// epoch is when the process began, with its reading of the monotonic clock.
var epoch = time.Now()

// clockNow is the present as the clocks count it: Unix nanoseconds that go on at the pace of the
// monotonic clock, so that no jump of the wall clock ends a session (T68).
func clockNow() int64 { return clockOf(time.Now()) }

func clockOf(t time.Time) int64 { return epoch.UnixNano() + int64(t.Sub(epoch)) }

// asked notes that requests have been recorded in l.
func (c *clocks) asked(l *ledger, now int64) {
	c.inTx.Store(0)
	setOnce(&c.batch, l.open, now)
	setOnce(&c.statement, !l.fifo.empty(), now)
	if c.ran && c.running.Load() == 0 {
		c.running.Store(now)
	}
	c.ran = false
}

// setOnce starts a clock that is not running, or stops it.
func setOnce(clock *atomic.Int64, on bool, now int64) {
	switch {
	case !on:
		clock.Store(0)
	case clock.Load() == 0:
		clock.Store(now)
	}
}

// ready notes a ReadyForQuery.
func (c *clocks) ready(l *ledger, status byte, now int64) {
	c.lastActive.Store(now)
	c.running.Store(0)
	if l.runs() {
		c.running.Store(now)
	}
	if !l.fifo.empty() {
		c.statement.Store(now)
		return
	}
	c.statement.Store(0)
	if status != 'I' {
		c.inTx.Store(now)
	}
}

// Clocks says since when things have been going on in a session; the zero time means they are not.
type Clocks struct {
	LastActive        time.Time // the client last sent, or was last answered
	IdleInTransaction time.Time // a transaction is open and waits for the client
	Statement         time.Time // the oldest unanswered request was forwarded
	Running           time.Time // the first statement was forwarded that no ReadyForQuery has ended
	OpenBatch         time.Time // extended messages were sent and no Sync yet
	Idle              bool      // nothing at all is going on
}

// Clocks returns the session's clocks. Safe for concurrent use.
func (s *Session) Clocks() Clocks {
	c := Clocks{
		LastActive:        clockTime(&s.clocks.lastActive),
		IdleInTransaction: clockTime(&s.clocks.inTx),
		Statement:         clockTime(&s.clocks.statement),
		OpenBatch:         clockTime(&s.clocks.batch),
		Running:           clockTime(&s.clocks.running),
	}
	c.Idle = c.IdleInTransaction.IsZero() && c.Statement.IsZero() && c.OpenBatch.IsZero()
	return c
}

func clockTime(clock *atomic.Int64) time.Time {
	ns := clock.Load()
	if ns == 0 {
		return time.Time{}
	}
	return epoch.Add(time.Duration(ns - epoch.UnixNano()))
}
