package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Scope names keys by upstream and database; "" stands for any.
type Scope struct{ Upstream, Database string }

// Contains reports whether k is within s.
func (s Scope) Contains(k Key) bool {
	return (s.Upstream == "" || s.Upstream == k.Upstream) && (s.Database == "" || s.Database == k.Database)
}

// key is within s and within no smaller scope.
func (s Scope) key() Key { return Key{Upstream: s.Upstream, Database: s.Database} }

// covers reports whether other is within s.
func (s Scope) covers(other Scope) bool {
	return (s.Upstream == "" || s.Upstream == other.Upstream) && (s.Database == "" || s.Database == other.Database)
}

// hold is one scope that is paused; resumed ends the Pause that waits for it.
type hold struct{ resumed context.CancelCauseFunc }

// What Pause returns beside the cause of its context.
var (
	ErrPaused  = errors.New("paused already")
	ErrResumed = errors.New("resumed before all connections were closed")
)

// Pause stops lending in scope, closes what is idle, and returns when all that was lent has come
// back and is closed. Acquire waits meanwhile. When ctx ends first, the scope is as it was before; when
// Resume comes first, the error is ErrResumed. One that is paused already is left alone: ErrPaused.
func (p *Pools[S]) Pause(ctx context.Context, scope Scope) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.lock()
	if p.pausedKey(scope.key()) {
		p.unlock()
		return ErrPaused
	}
	mine := p.setPaused(scope, cancel)
	p.unlock()
	p.Retire(0, func(i ServerInfo[S]) bool { return scope.Contains(i.Key) })
	err := p.until(ctx, func(pl *pool[S]) bool { return !scope.Contains(pl.key) || len(pl.entries) == 0 })
	if err != nil {
		p.unpause(func(_ Scope, other *hold) bool { return other == mine })
	}
	return err
}

// Resume lends again in scope. It reports whether anything within it was paused.
func (p *Pools[S]) Resume(scope Scope) bool {
	return p.unpause(func(s Scope, _ *hold) bool { return scope.covers(s) })
}

// unpause ends the pauses that which picks, and reports whether there were any.
func (p *Pools[S]) unpause(which func(Scope, *hold) bool) bool {
	p.lock()
	defer p.unlock()
	found := false
	for s, this := range p.paused {
		if which(s, this) {
			delete(p.paused, s)
			this.resumed(ErrResumed)
			found = true
		}
	}
	for _, pl := range p.pools {
		if pl.paused = p.pausedKey(pl.key); !pl.paused {
			p.wants(pl)
		}
	}
	return found
}

// Kill closes every connection in scope at once, under their lessees too, fails the waiters with
// ErrKilled and leaves the scope paused.
func (p *Pools[S]) Kill(scope Scope) {
	now := p.lock()
	defer p.unlock()
	p.setPaused(scope, func(error) {})
	for _, pl := range p.pools {
		if scope.Contains(pl.key) {
			pl.failAll(ErrKilled)
			p.kill(pl, now)
		}
	}
}

// Reconnect ends every connection in scope as soon as it is idle; new ones take their place.
func (p *Pools[S]) Reconnect(scope Scope) {
	p.Retire(0, func(i ServerInfo[S]) bool { return scope.Contains(i.Key) })
}

// WaitClose returns when nothing in scope is left of what Reconnect or Retire ended.
func (p *Pools[S]) WaitClose(ctx context.Context, scope Scope) error {
	return p.until(ctx, func(pl *pool[S]) bool {
		if !scope.Contains(pl.key) {
			return true
		}
		for _, e := range pl.entries {
			if e.doomed || e.state == closing {
				return false
			}
		}
		return true
	})
}

// CloseIdle closes the idle connections in scope and returns when they are closed: a database can
// be dropped then, as far as this broker goes (W98).
func (p *Pools[S]) CloseIdle(ctx context.Context, scope Scope) error {
	now := p.lock()
	for e := range p.idle.all {
		if scope.Contains(e.pool.key) {
			p.close(e, now)
		}
	}
	p.unlock()
	return p.until(ctx, func(pl *pool[S]) bool { return !scope.Contains(pl.key) || pl.counts[closing] == 0 })
}

// Paused reports whether key is within a paused scope. An empty field of key is within those alone
// that stand for any.
func (p *Pools[S]) Paused(key Key) bool {
	p.lock()
	defer p.unlock()
	return p.pausedKey(key)
}

// Disable and Enable set what Disabled tells: whether new sessions are refused. The pools
// themselves go on: sessions that exist are served.
func (p *Pools[S]) Disable(scope Scope) {
	p.lock()
	defer p.unlock()
	p.disabled[scope] = struct{}{}
}

// Enable ends Disable for everything within scope.
func (p *Pools[S]) Enable(scope Scope) {
	p.lock()
	defer p.unlock()
	for s := range p.disabled {
		if scope.covers(s) {
			delete(p.disabled, s)
		}
	}
}

// Disabled reports whether key is within a disabled scope.
func (p *Pools[S]) Disabled(key Key) bool {
	p.lock()
	defer p.unlock()
	return contains(p.disabled, key)
}

// Held reports whether anything is paused or disabled.
func (p *Pools[S]) Held() bool {
	p.lock()
	defer p.unlock()
	return len(p.paused)+len(p.disabled) > 0
}

// Retire ends the connections that match picks: at a random time within the given duration, all at
// once when that is zero. Idle ones are closed then, leased ones when they come back, dials when
// they are done. It returns how many it picked.
func (p *Pools[S]) Retire(within time.Duration, match func(ServerInfo[S]) bool) int {
	now := p.lock()
	defer p.unlock()
	n := 0
	for _, pl := range p.pools {
		for _, e := range pl.entries {
			if e.state != closing && match(e.info(now)) {
				p.retire(e, within, now)
				n++
			}
		}
	}
	return n
}

func (p *Pools[S]) retire(e *entry[S], within time.Duration, now time.Time) {
	if within > 0 {
		e.expireBy(now.Add(rand.N(within)))
		return
	}
	e.doomed = true
	switch e.state {
	case idle:
		p.close(e, now)
	case leased:
		e.server.Retire()
	}
}

// Discard ends one connection whose lessee or reader found it bad: now when it is idle, else when
// it comes back.
func (p *Pools[S]) Discard(s S) {
	now := p.lock()
	defer p.unlock()
	if e := p.servers[s]; e != nil {
		p.retire(e, 0, now)
	}
}

// Forget ends the connections of the keys that match picks and keeps none ready for them, until
// they are asked for again: they left the configuration.
func (p *Pools[S]) Forget(match func(Key) bool) {
	p.lock()
	for key, pl := range p.pools {
		if match(key) {
			pl.limits.MinIdle = 0
		}
	}
	p.unlock()
	p.Retire(0, func(i ServerInfo[S]) bool { return match(i.Key) })
}

// setPaused takes the place of a Pause that waits for the same scope, which is not to resume it any more.
func (p *Pools[S]) setPaused(scope Scope, resumed context.CancelCauseFunc) *hold {
	this := &hold{resumed: resumed}
	p.paused[scope] = this
	for _, pl := range p.pools {
		pl.paused = p.pausedKey(pl.key)
	}
	return this
}

func (p *Pools[S]) pausedKey(k Key) bool { return contains(p.paused, k) }

func contains[V any](scopes map[Scope]V, k Key) bool {
	for s := range scopes {
		if s.Contains(k) {
			return true
		}
	}
	return false
}

// watcher waits for a state of the pools. Pools.mu guards it.
type watcher[S Server] struct {
	holds func(*pool[S]) bool
	done  chan struct{}
}

// until returns when holds is true of every pool, or ctx ends.
func (p *Pools[S]) until(ctx context.Context, holds func(*pool[S]) bool) error {
	w := &watcher[S]{holds: holds, done: make(chan struct{})}
	p.lock()
	p.watchers[w] = struct{}{}
	p.notify()
	p.unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		p.lock()
		delete(p.watchers, w)
		p.unlock()
		return context.Cause(ctx)
	}
}

// notify ends the watchers whose state has come.
func (p *Pools[S]) notify() {
	for w := range p.watchers {
		if p.all(w.holds) {
			close(w.done)
			delete(p.watchers, w)
		}
	}
}

func (p *Pools[S]) all(holds func(*pool[S]) bool) bool {
	for _, pl := range p.pools {
		if !holds(pl) {
			return false
		}
	}
	return true
}
