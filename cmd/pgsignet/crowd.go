package main

import (
	"os"
	"runtime"
	"sync"
	"time"
)

// crowdLasts is how long a crowd is taken to be there after the last handshake that had to wait.
const crowdLasts = 5 * time.Second

// crowd gives Go's scheduler one processor more than the machine has while handshakes queue. The
// scheduler lets each goroutine finish, and a handshake computes for a millisecond: a session's message
// that has arrived would wait for it, and behind whatever else the newcomers cost. With a thread more it
// is the system that shares out the processors, and that gives one soon to who has used little.
type crowd struct {
	later later

	mu   sync.Mutex // guards what follows
	here bool
	last time.Time // when a handshake last had to wait
	bad  time.Time // when too many were last begun and not finished
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
	c.later(crowdLasts, func() { c.look(usual) })
}

// attacks notes that far more handshakes are begun than finished.
func (c *crowd) attacks(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad = now
}

// flood says whether that was so just now.
func (c *crowd) flood() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.bad) < crowdLasts
}

// look ends the crowd, or looks again when it may have ended.
func (c *crowd) look(usual int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rest := crowdLasts - time.Since(c.last); rest > 0 {
		c.later(rest, func() { c.look(usual) })
		return
	}
	c.here = false
	if os.Getenv("GOMAXPROCS") != "" {
		runtime.GOMAXPROCS(usual)
		return
	}
	runtime.SetDefaultGOMAXPROCS() // follows the cgroup's limit again
}
