package main

import (
	"context"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// handshakeShare is how many handshakes compute at once, over all listeners: one processor less than
// there are, so that sessions always find one, however many clients come at a time. A handshake that
// waits for its client does not count.
func handshakeShare() int64 { return int64(max(1, runtime.GOMAXPROCS(0)-1)) }

// handshakes is a cap on the handshakes that compute at once. Safe for concurrent use.
type handshakes struct {
	slots *semaphore.Weighted
	crowd *crowd
}

func newHandshakes(n int64) *handshakes {
	return &handshakes{slots: semaphore.NewWeighted(n), crowd: &crowd{}}
}

// fewer is a cap of its own for a listener.
func (h *handshakes) fewer(n int64) *handshakes {
	return &handshakes{slots: semaphore.NewWeighted(n), crowd: h.crowd}
}

// Acquire waits for n slots, or for ctx's end and returns its error.
func (h *handshakes) Acquire(ctx context.Context, n int64) error {
	if h.slots.TryAcquire(n) {
		return nil
	}
	h.crowd.seen(time.Now())
	return h.slots.Acquire(ctx, n)
}

// Release gives back n slots.
func (h *handshakes) Release(n int64) { h.slots.Release(n) }

// crowdLasts is how long a crowd is taken to be there after the last handshake that had to wait.
const crowdLasts = 5 * time.Second

// crowd gives Go's scheduler one processor more than the machine has while handshakes queue. The
// scheduler lets each goroutine finish, and a handshake computes for a millisecond: a session's message
// that has arrived would wait for it, and behind whatever else the newcomers cost. With a thread more it
// is the system that shares out the processors, and that gives one soon to who has used little.
type crowd struct {
	mu   sync.Mutex // guards what follows
	here bool
	last time.Time // when a handshake last had to wait
}

// seen notes that a handshake has to wait.
func (c *crowd) seen(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = now
	if c.here {
		return
	}
	c.here = true
	usual := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(usual + 1)
	time.AfterFunc(crowdLasts, func() { c.look(usual) })
}

// look ends the crowd, or looks again when it may have ended.
func (c *crowd) look(usual int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rest := crowdLasts - time.Since(c.last); rest > 0 {
		time.AfterFunc(rest, func() { c.look(usual) })
		return
	}
	c.here = false
	if os.Getenv("GOMAXPROCS") != "" {
		runtime.GOMAXPROCS(usual)
		return
	}
	runtime.SetDefaultGOMAXPROCS() // follows the cgroup's limit again
}
