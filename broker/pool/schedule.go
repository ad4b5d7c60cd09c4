package pool

import (
	"slices"
	"time"
)

// lock begins a change and returns the time it happens at.
func (p *Pools[S]) lock() time.Time {
	p.mu.Lock()
	p.now = time.Now()
	return p.now
}

// unlock gives away what the change made free, then ends it: no newcomer can come in between.
func (p *Pools[S]) unlock() {
	if len(p.freed) > 0 || len(p.due) > 0 {
		p.settle(p.now)
	}
	p.mu.Unlock()
}

// wants notes that pl may be able to serve a waiter.
func (p *Pools[S]) wants(pl *pool[S]) {
	if !pl.due && pl.waiters.len() > 0 {
		pl.due = true
		p.due = append(p.due, pl)
	}
}

// settle serves until nothing more can be: first those that waited for a shared cap, then the
// pools that changed.
func (p *Pools[S]) settle(now time.Time) {
	for len(p.freed)+len(p.due) > 0 {
		if len(p.freed) > 0 {
			b := p.freed[0]
			p.freed = slices.Delete(p.freed, 0, 1)
			p.offer(b, now)
			continue
		}
		pl := p.due[0]
		p.due = slices.Delete(p.due, 0, 1)
		pl.due = false
		p.serve(pl, now)
	}
}

// serve hands pl's idle connections to its waiters, longest first, and dials for the others. A
// waiter whose map is at its cap is passed over, so that one tenant cannot hold up the rest.
func (p *Pools[S]) serve(pl *pool[S], now time.Time) {
	if p.closed || pl.paused {
		return
	}
	for w := range pl.waiters.all {
		if w.over() {
			w.answer(answer[S]{err: ErrEnded})
			continue
		}
		if len(pl.idle) == 0 {
			break
		}
		e := p.take(w.asker, now)
		if e == nil {
			p.claim(w.asker.payer, pl, now) // its map is at its cap
			continue
		}
		lease := p.lend(e, w.asker, now)
		w.asker.waited = now.Sub(w.since)
		pl.totals.waited += w.asker.waited
		w.answer(answer[S]{lease: lease})
	}
	p.grow(pl, now)
}

// grow dials for the waiters that no dial is under way for, as far as the caps allow. Against a
// server that failed, one dial at a time, and none before retryAt.
func (p *Pools[S]) grow(pl *pool[S], now time.Time) {
	covered := pl.counts[dialing]
	for w := range pl.waiters.all {
		if covered > 0 {
			covered--
			continue
		}
		if !p.mayDial(pl, now) {
			return
		}
		if !p.claim(w.asker.payer, pl, now) {
			continue
		}
		if !p.claim(pl.upstream, pl, now) {
			return
		}
		p.dial(pl, w.asker.payer, now)
	}
}

// mayDial reports whether pl itself allows one more dial.
func (p *Pools[S]) mayDial(pl *pool[S], now time.Time) bool {
	if pl.total() >= pl.limits.Size {
		return false
	}
	if pl.failures == 0 {
		return true
	}
	if pl.counts[dialing] > 0 {
		return false
	}
	if now.Before(pl.retryAt) {
		p.failing[pl] = struct{}{}
		p.poke()
		return false
	}
	return true
}

// giveBack takes a connection back from its lessee. Its health is asked before the next use.
func (p *Pools[S]) giveBack(e *entry[S], now time.Time) {
	pl := e.pool
	if p.closed || e.spent(now) || pl.total() > pl.limits.Size || pl.upstream.over() || e.payer.over() ||
		p.owes(pl.upstream, pl) || p.owes(e.payer, pl) {
		p.close(e, now)
		return
	}
	p.park(e, now)
	p.wants(pl)
}

// owes reports whether a connection that comes back to pl has to end for another pool that waits
// for b: when nobody waits for it here, or the other one has waited longer and has none, or two
// fewer. (One fewer is no reason: the two would take the connection from each other for ever.)
func (p *Pools[S]) owes(b *budget[S], pl *pool[S]) bool {
	if b.room() {
		return false
	}
	other, waiter := b.contender()
	if other == nil || other == pl {
		return false
	}
	here := pl.waiters.first
	return here == nil || waiter.n < here.n && (other.total() == 0 || pl.total() >= other.total()+2)
}
