package relay

import (
	"context"
	"sync"
	"time"
)

// turn is the context of a session's wait, for a server connection or for the record of a statement, which
// the session's end and a cancel request end. It serves every such wait of the session, one after the other,
// and costs nothing until somebody waits on it: most leases do not, and those of a busy pool are many.
//
// Its Err is the cause. Safe for concurrent use.
type turn struct {
	mu    sync.Mutex
	on    bool // a wait is under way
	asked bool // for done, since it began
	done  chan struct{}
	cause error
}

// begin starts a wait.
func (t *turn) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.on = true
	if t.cause != nil {
		t.done, t.cause = nil, nil
	}
}

// begin starts a wait of the session's, which is over at once when the session is.
func (s *Session) begin(t *turn) {
	t.begin()
	if s.ctx.Err() != nil {
		t.cancel(context.Canceled) // interrupt may have come too early for it
	}
}

// over ends the wait and returns what has cancelled it, if anything. waited is false when nobody has waited.
func (t *turn) over() (waited bool, cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	waited, t.on, t.asked = t.asked, false, false
	return waited, t.cause
}

// cancel ends the wait that is under way; with none it does nothing and says no. The first cause
// counts.
func (t *turn) cancel(cause error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on {
		return false
	}
	if t.cause != nil {
		return true
	}
	if t.cause = cause; t.done == nil {
		t.done = make(chan struct{})
	}
	close(t.done)
	return true
}

// Done implements context.Context.
func (t *turn) Done() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked = true; t.done == nil {
		t.done = make(chan struct{})
	}
	return t.done
}

// Err implements context.Context.
func (t *turn) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cause
}

// Deadline implements context.Context: there is none.
func (*turn) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context: there is none.
func (*turn) Value(any) any { return nil }

var _ context.Context = (*turn)(nil)

// isOn says whether a wait is under way.
func (t *turn) isOn() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.on
}
