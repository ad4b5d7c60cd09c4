package pool

import "time"

// budget is a cap over several keys: that of an upstream, or of a map. Pools.mu guards it.
type budget[S Server] struct {
	name    string
	max     int // 0: none
	used    int // connections that count against max
	closing int // of them, how many are about to be free

	// blocked are the pools with a waiter that lacks only this.
	blocked map[*pool[S]]struct{}
}

func budgetOf[S Server](m map[string]*budget[S], name string) *budget[S] {
	b := m[name]
	if b == nil {
		b = &budget[S]{name: name, blocked: make(map[*pool[S]]struct{})}
		m[name] = b
	}
	return b
}

// room reports whether one more connection fits.
func (b *budget[S]) room() bool { return b.max <= 0 || b.used < b.max }

// over reports that a lowered cap is exceeded.
func (b *budget[S]) over() bool { return b.max > 0 && b.used > b.max }

// contender is the pool whose waiter for b is the oldest, and that waiter; nil when a slot is about
// to be free for every pool that waits, or none does.
func (b *budget[S]) contender() (*pool[S], *waiter[S]) {
	if len(b.blocked) <= b.closing {
		return nil, nil
	}
	pl, w := b.oldest()
	if len(b.blocked) <= b.closing {
		return nil, nil // some no longer waited
	}
	return pl, w
}

// oldest is the pool that has waited for b for longest, and its waiter. It forgets those that no
// longer wait.
func (b *budget[S]) oldest() (first *pool[S], oldest *waiter[S]) {
	for pl := range b.blocked {
		w := b.waiter(pl)
		if w == nil {
			delete(b.blocked, pl)
		} else if oldest == nil || w.n < oldest.n {
			first, oldest = pl, w
		}
	}
	return first, oldest
}

// waiter is the first of pl that needs b.
func (b *budget[S]) waiter(pl *pool[S]) *waiter[S] {
	for w := range pl.waiters.all {
		if pl.upstream == b || w.asker.payer == b {
			return w
		}
	}
	return nil
}

// resize sets b's cap; room that this makes is given away.
func (p *Pools[S]) resize(b *budget[S], limit int) {
	if b.max != limit {
		b.max = limit
		p.free(b)
	}
}

// free notes that b may have room for those that wait for it.
func (p *Pools[S]) free(b *budget[S]) {
	if len(b.blocked) > 0 {
		p.freed = append(p.freed, b)
	}
}

// offer gives the room in b to the pools that wait for it, the longest first.
func (p *Pools[S]) offer(b *budget[S], now time.Time) {
	for range len(b.blocked) {
		pl, _ := b.oldest()
		if pl == nil || !b.room() {
			return
		}
		delete(b.blocked, pl)
		p.serve(pl, now)
	}
}

// claim reports whether b has room for one more connection of pl. If not, pl is noted to wait for
// it, and unless enough is about to be free, the connection of b that has been idle for longest is
// closed.
func (p *Pools[S]) claim(b *budget[S], pl *pool[S], now time.Time) bool {
	if b.room() {
		return true
	}
	b.blocked[pl] = struct{}{}
	if other, _ := b.contender(); other == nil {
		return false
	}
	for e := range p.idle.all {
		if e.pool.upstream == b || e.payer == b {
			p.close(e, now)
			break
		}
	}
	return false
}
