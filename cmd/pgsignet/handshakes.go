package main

import (
	"container/list"
	"context"
	"runtime"
	"sync"
	"time"
)

// handshakeShare is how many handshakes compute at once, over all listeners: one processor less than
// there are, so that sessions always find one, however many clients come at a time. A handshake that
// waits for its client does not count.
func handshakeShare() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// handshakes shares out processors among the handshakes that compute. Clients that have answered the
// server's messages go first, mostly: to finish what is begun lets them in, and a flood that only begins
// does not hold them up. When many more are begun than finished, each that is begun is followed by a rest.
// Safe for concurrent use; each listener with a cap of its own has one.
type handshakes struct {
	crowd *crowd
	rests time.Duration // how many times as long as it has computed a slot rests

	mu     sync.Mutex // guards what follows
	free   int        // slots that nobody holds
	tired  int        // slots that rest: only clients that have answered get them
	begin  list.List  // of *turn: clients to be answered for the first time, the longest waiter first
	finish list.List  // of *turn: clients that have answered
	row    int        // how many of finish have gone before begin
	debt   debt
}

// later has a function called after a while, unless the process stops before that.
type later func(after time.Duration, do func())

// turn is a place in a queue.
type turn struct {
	come chan struct{} // closed when the slot is there
}

// finishInRow is how many clients that have answered go before one that has not been answered. There
// are ways to answer that cost the client nothing.
const finishInRow = 3

// fewWait is how many handshakes may wait before they are a crowd: so many are through in some 10 ms, and
// what their clients cost besides is as little.
const fewWait = 16

func newHandshakes(crowd *crowd, n int) *handshakes {
	return &handshakes{crowd: crowd, rests: restTimes(runtime.GOMAXPROCS(0)), free: n}
}

// fewer has n slots of its own.
func (h *handshakes) fewer(n int) *handshakes { return newHandshakes(h.crowd, n) }

// restTimes: in a flood one processor of two gives a quarter of itself to handshakes, of more half.
func restTimes(processors int) time.Duration {
	if processors <= 2 {
		return 3
	}
	return 1
}

// Acquire waits for a slot, or for ctx's end and returns its error.
func (h *handshakes) Acquire(ctx context.Context, first bool) error {
	h.mu.Lock()
	queue := &h.finish
	if first {
		queue = &h.begin
	}
	t := &turn{come: make(chan struct{})}
	place := queue.PushBack(t)
	h.serve()
	waits, crowded := !t.here(), h.begin.Len()+h.finish.Len() > fewWait
	h.mu.Unlock()
	if !waits {
		return nil
	}
	if crowded {
		h.crowd.seen(time.Now())
	}
	select {
	case <-t.come:
		return nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.here() {
		return nil
	}
	queue.Remove(place)
	return ctx.Err()
}

func (t *turn) here() bool {
	select {
	case <-t.come:
		return true
	default:
		return false
	}
}

// Release gives a slot back after so much computing, for the first answer to a client or a later one.
func (h *handshakes) Release(first bool, computed time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free++
	if now := time.Now(); first && h.debt.begun(now) {
		h.crowd.attacks(now)
		if h.rests > 0 {
			h.tired++
			h.crowd.later(h.rests*computed, h.rested)
		}
	}
	h.serve()
}

func (h *handshakes) rested() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tired--
	h.serve()
}

// Completed notes that a client has finished its handshake.
func (h *handshakes) Completed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.debt.paid()
}

// serve gives free slots to those who wait. The caller holds mu.
func (h *handshakes) serve() {
	for h.free > 0 {
		mayBegin := h.begin.Len() > 0 && h.free > h.tired
		queue := &h.finish
		switch {
		case h.finish.Len() > 0 && (h.row < finishInRow || !mayBegin):
			h.row++
		case mayBegin:
			queue, h.row = &h.begin, 0
		default:
			return
		}
		h.free--
		close(queue.Remove(queue.Front()).(*turn).come)
	}
}

// debt is how many more handshakes have been begun than finished. It ages, since some clients only look.
type debt struct {
	n    float64
	last time.Time
}

// A debt up to patience is that of clients that come at once: so many answers are on their way from a
// client 100 ms away when 5 000 a second are begun. It grows to twice that and ages by forgiven a second.
const (
	patience = 512
	forgiven = 200
)

// begun adds a handshake, and says whether there are too many.
func (d *debt) begun(now time.Time) bool {
	d.n = max(0, d.n-forgiven*now.Sub(d.last).Seconds())
	d.n, d.last = min(d.n+1, 2*patience), now
	return d.n > patience
}

func (d *debt) paid() { d.n = max(0, d.n-1) }
