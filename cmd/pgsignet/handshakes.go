package main

import (
	"container/list"
	"context"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/pgsignet/pgsignet/broker/downstream"
)

// handshakeShare is how many handshakes compute at once, over all listeners: one processor less than
// there are, so that sessions always find one, however many clients come at a time. A handshake that
// waits for its client does not count.
func handshakeShare() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// handshakes shares out processors among the handshakes that compute. Clients that have answered the
// server's messages go first, mostly: to finish what is begun lets them in, and a flood that only begins
// does not hold them up. Among those who begin, clients from where others have logged in go first. When many
// more are begun than come to a login, each that is begun is followed by a rest. Safe for concurrent use;
// each listener with a cap of its own has one.
type handshakes struct {
	crowd *crowd
	rests time.Duration // how many times as long as it has computed a slot rests

	mu       sync.Mutex // guards what follows
	free     int        // slots that nobody holds
	tired    int        // slots that rest: only clients that have answered get them
	finish   line       // clients that have answered
	known    line       // clients to be answered for the first time, from where others have logged in
	strange  line       // and the others
	debt     debt
	familiar addresses
}

// line is a queue of *turn, the longest waiter first.
type line struct {
	list.List
	row int // how many have gone before those of the next line, who wait
}

// later has a function called after a while, unless the process stops before that.
type later func(after time.Duration, do func())

// turn is a place in a queue.
type turn struct {
	come chan struct{} // closed when the slot is there
}

// inRow is how many of one line go before one of the next. There are ways to answer that cost the client
// nothing, and an attacker may come from where others have logged in.
const inRow = 3

// fewWait is how many handshakes may wait before they are a crowd: so many are through in some 10 ms, and
// what their clients cost besides is as little.
const fewWait = 16

func newHandshakes(crowd *crowd, n int) *handshakes {
	return &handshakes{crowd: crowd, rests: restTimes(runtime.GOMAXPROCS(0)), free: n}
}

// fewer has n slots of its own.
func (h *handshakes) fewer(n int) *handshakes { return newHandshakes(h.crowd, n) }

// restTimes: in a flood one processor of two gives a sixteenth of itself to first answers, of more half.
func restTimes(processors int) time.Duration {
	if processors <= 2 {
		return 15
	}
	return 1
}

// Acquire is that of downstream.Slots.
func (h *handshakes) Acquire(ctx context.Context, from netip.Addr, first bool) (waited bool, err error) {
	h.mu.Lock()
	line := h.lineOf(from, first)
	t := &turn{come: make(chan struct{})}
	place := line.PushBack(t)
	h.serve()
	waits, many := !t.here(), h.finish.Len()+h.known.Len()+h.strange.Len() > fewWait
	h.mu.Unlock()
	if !waits {
		return false, nil
	}
	if many {
		h.crowd.seen(time.Now())
	}
	return true, h.wait(ctx, t, line, place)
}

func (h *handshakes) lineOf(from netip.Addr, first bool) *line {
	switch {
	case !first:
		return &h.finish
	case h.familiar.has(from):
		return &h.known
	}
	return &h.strange
}

func (h *handshakes) wait(ctx context.Context, t *turn, line *line, place *list.Element) error {
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
	line.Remove(place)
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

// Release is that of downstream.Slots. In a flood a slot rests, except after a client that had been answered.
func (h *handshakes) Release(use downstream.Use, computed time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free++
	now := time.Now()
	h.debt.age(now)
	if use == downstream.Began {
		h.debt.add()
	}
	if use != downstream.WentOn && h.debt.large() {
		h.crowd.attacks(now)
		h.tired++
		h.crowd.later(max(leastRest, h.rests*computed), h.rested)
	}
	h.serve()
}

func (h *handshakes) rested() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tired--
	h.serve()
}

// Proven notes that a client has come to something: it pays what it owes, and others from there go first.
func (h *handshakes) Proven(from netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.debt.paid()
	h.familiar.add(from, time.Now())
}

// serve gives free slots to those who wait. The caller holds mu.
func (h *handshakes) serve() {
	for h.free > 0 {
		line := h.next()
		if line == nil {
			return
		}
		h.free--
		close(line.Remove(line.Front()).(*turn).come)
	}
}

// next is whose turn it is, or nil.
func (h *handshakes) next() *line {
	begin := &h.strange
	if before(&h.known, h.strange.Len() > 0) {
		begin = &h.known
	}
	mayBegin := begin.Len() > 0 && h.free > h.tired
	switch {
	case before(&h.finish, mayBegin):
		h.finish.row++
		return &h.finish
	case !mayBegin:
		return nil
	}
	h.finish.row, h.known.row = 0, h.known.row+1
	if begin == &h.strange {
		h.known.row = 0
	}
	return begin
}

// before says whether somebody of l goes before others, if there are any.
func before(l *line, others bool) bool { return l.Len() > 0 && (l.row < inRow || !others) }

// leastRest is how long a slot rests at least. A client that had left takes no computing, but to record and
// close it takes some 0.1 ms, and hundreds of them in a row would keep sessions from a processor.
const leastRest = 2 * time.Millisecond

// debt is how many more handshakes have been begun than have come to a login. It ages, since some clients
// only look.
type debt struct {
	n    float64
	last time.Time
}

// A debt up to patience is that of clients that come at once: so many answers are on their way from a
// client 100 ms away when 5 000 a second are begun. It grows to twice that and ages by forgiven a second: so
// many are begun in a flood however long the rests are.
const (
	patience = 512
	forgiven = 20
)

func (d *debt) age(now time.Time) {
	d.n, d.last = max(0, d.n-forgiven*now.Sub(d.last).Seconds()), now
}

func (d *debt) add()        { d.n = min(d.n+1, 2*patience) }
func (d *debt) paid()       { d.n = max(0, d.n-1) }
func (d *debt) large() bool { return d.n > patience }
