package upstream

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Pauses before an address that failed is tried again. The longest bounds how long a server that
// came back goes unnoticed.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
)

// misfitFor is how long an address that did not fit the target is tried last.
const misfitFor = 5 * time.Second

// headStart is how long a dial waits for an address that failed before: longer than a login takes,
// short enough that a host that swallows packets does not hold up the others.
const headStart = 250 * time.Millisecond

// maxGates bounds what a name server can make us remember.
const maxGates = 1000

// gate is what is known of one address, or of one name to look up.
type gate struct {
	failures int
	last     *LoginError
	retryAt  time.Time
	probing  bool // somebody tries it again now

	misfitUntil time.Time
}

// gates is the gate of every address in use. Its zero value is ready.
type gates struct {
	mu sync.Mutex
	m  map[string]*gate
}

// standing says how an address may be tried.
type standing int

const (
	good standing = iota
	probe
	shut
)

// enter asks to try key. After probe, and only then, leave must follow.
func (g *gates) enter(key string) (standing, *LoginError) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.m[key]
	switch {
	case at == nil || at.failures == 0:
		return good, nil
	case at.probing || time.Now().Before(at.retryAt):
		return shut, at.last
	}
	at.probing = true
	return probe, at.last
}

// leave notes how the try went: err is nil unless the address itself is at fault. abandoned is a
// try that says nothing.
func (g *gates) leave(key string, as standing, err *LoginError, abandoned bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.at(key)
	if as == probe {
		at.probing = false
	}
	switch {
	case abandoned:
	case err == nil:
		at.failures, at.last = 0, nil
	default:
		now := time.Now()
		if at.last = err; as == good && now.Before(at.retryAt) {
			return // one of several that began before the first of them failed
		}
		at.failures++
		at.retryAt = now.Add(pause(at.failures))
	}
}

// misfit reports that key recently did not fit.
func (g *gates) misfit(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.m[key]
	return at != nil && time.Now().Before(at.misfitUntil)
}

func (g *gates) setMisfit(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at(key).misfitUntil = time.Now().Add(misfitFor)
}

func (g *gates) at(key string) *gate {
	if at := g.m[key]; at != nil {
		return at
	}
	if g.m == nil || len(g.m) >= maxGates {
		g.m = make(map[string]*gate) // forgetting costs a dial each
	}
	at := new(gate)
	g.m[key] = at
	return at
}

// pause is how long to leave an address alone after n failures in a row: doubling, half of it random.
func pause(n int) time.Duration {
	d := longestPause
	if n < 10 {
		d = min(firstPause<<(n-1), longestPause)
	}
	return d/2 + rand.N(d/2)
}

// guarded runs work on key as the gate allows: at once, or, when key failed before, in the
// background with a head start. What comes after that goes to late. Errors of work are
// *LoginErrors.
func guarded[T any](ctx context.Context, u *Upstream, key string, work func(context.Context) (T, error), late func(T)) (T, *LoginError) {
	standing, last := u.gates.enter(key)
	if standing == shut {
		var none T
		return none, last
	}
	timed := func(caller context.Context) (T, *LoginError) {
		ctx, cancel := context.WithTimeout(caller, u.cfg.ConnectTimeout)
		defer cancel()
		v, err := work(ctx)
		if err == nil {
			u.gates.leave(key, standing, nil, false)
			return v, nil
		}
		e := asLoginError(err, key)
		u.gates.leave(key, standing, e.fault(), caller.Err() != nil)
		return v, e
	}
	if standing == good {
		return timed(ctx)
	}
	return withHeadStart(ctx, &u.probes, timed, late, last)
}

// withHeadStart runs work in the background and waits for it for headStart.
func withHeadStart[T any](ctx context.Context, p *probes, work func(context.Context) (T, *LoginError), late func(T), last *LoginError) (T, *LoginError) {
	type outcome struct {
		v   T
		err *LoginError
	}
	done := make(chan outcome, 1)
	p.run(context.WithoutCancel(ctx), func(ctx context.Context) {
		v, err := work(ctx)
		done <- outcome{v, err}
	})
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.v, o.err
	case <-timer.C:
	case <-ctx.Done():
	}
	p.run(context.Background(), func(context.Context) {
		if o := <-done; o.err == nil {
			late(o.v)
		}
	})
	var none T
	return none, last
}

// probes are attempts that outlive the Dial that began them. The zero value is ready.
type probes struct {
	mu      sync.Mutex
	closed  bool
	next    int
	cancels map[int]context.CancelFunc
	running sync.WaitGroup
}

// run starts f, whose ctx ends with the probes. After close f runs with an ended ctx in place.
func (p *probes) run(ctx context.Context, f func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		cancel()
		f(ctx)
		return
	}
	defer p.mu.Unlock()
	n := p.next
	p.next++
	if p.cancels == nil {
		p.cancels = make(map[int]context.CancelFunc)
	}
	p.cancels[n] = cancel
	p.running.Go(func() {
		defer p.end(n)
		f(ctx)
	})
}

func (p *probes) end(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancels[n]()
	delete(p.cancels, n)
}

// close ends all attempts and waits for them.
func (p *probes) close() {
	p.mu.Lock()
	p.closed = true
	for _, cancel := range p.cancels {
		cancel()
	}
	p.mu.Unlock()
	p.running.Wait()
}
