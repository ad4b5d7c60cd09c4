package pool

import (
	"context"
	"time"
)

// Asker is one session before the pools: what it asks for, and what they remember of it, so that nothing is
// looked up by name while it goes on. It has one Acquire at a time.
type Asker[S Server] struct {
	pools   *Pools[S]
	request Request

	// Pools.mu guards these.
	pool   *pool[S]
	payer  *budget[S]
	last   *entry[S] // that served it last
	serial uint64    // of last, as it was lent
	waited time.Duration
}

// Asker returns one for r.
func (p *Pools[S]) Asker(r Request) *Asker[S] { return &Asker[S]{pools: p, request: r} }

// Acquire lends one connection. It blocks until one is free or made, for Limits.WaitTimeout at most. The error
// is ctx's cause, one of the Err variables, or that of a dial.
func (a *Asker[S]) Acquire(ctx context.Context) (Lease[S], error) {
	p := a.pools
	now := p.lock()
	if err := p.refuses(&a.request); err != nil {
		p.unlock()
		return Lease[S]{}, err
	}
	p.place(a)
	pl := a.pool
	pl.used = now
	if pl.waiters.len() == 0 && !pl.paused {
		if e := p.take(a, now); e != nil {
			a.waited = 0
			lease := p.lend(e, a, now)
			p.unlock()
			return lease, nil
		}
	}
	w := p.enqueue(a, now)
	p.unlock()
	return p.wait(ctx, w)
}

// Waited is how long the last Acquire that lent a connection has waited for it: zero when one was there.
func (a *Asker[S]) Waited() time.Duration { return a.waited }

func (p *Pools[S]) refuses(r *Request) error {
	if p.closed {
		return ErrClosed
	}
	if r.Ended != nil && r.Ended() {
		return ErrEnded
	}
	return nil
}

// enqueue puts a request at the end of its queue.
func (p *Pools[S]) enqueue(a *Asker[S], now time.Time) *waiter[S] {
	p.arrived++
	w := p.newWaiter()
	w.n, w.asker, w.since = p.arrived, a, now
	a.pool.waiters.push(w)
	a.pool.totals.waits++
	p.wants(a.pool)
	p.remind(now.Add(a.request.Limits.WaitTimeout))
	return w
}

// wait blocks until w is answered or ctx ends.
func (p *Pools[S]) wait(ctx context.Context, w *waiter[S]) (Lease[S], error) {
	defer p.putWaiter(w)
	select {
	case a := <-w.ready:
		return a.lease, a.err
	case <-ctx.Done():
		return p.leave(w, context.Cause(ctx))
	}
}

// leave takes w out of its queue. A connection that came at the same moment goes to the next (T90).
func (p *Pools[S]) leave(w *waiter[S], why error) (Lease[S], error) {
	now := p.lock()
	defer p.unlock()
	if !w.queued {
		if a := <-w.ready; a.err == nil && a.lease.current() {
			p.giveBack(a.lease.entry, now)
		}
		return Lease[S]{}, why
	}
	w.asker.pool.waiters.remove(w)
	return Lease[S]{}, why
}

// take returns an idle connection that a may have, or nil: the one that last served it, else the most
// recently used. Those it finds spent or dead are closed.
func (p *Pools[S]) take(a *Asker[S], now time.Time) *entry[S] {
	for {
		e := a.choose()
		if e == nil || !e.spent(now) && e.server.Healthy() {
			return e
		}
		p.close(e, now)
	}
}

func (a *Asker[S]) choose() *entry[S] {
	if e := a.last; e != nil && e.state == idle && e.serial == a.serial+1 && e.pool == a.pool && a.payer.affords(e) {
		return e // nobody else has had it since
	}
	list := a.pool.idle
	for i := len(list) - 1; i >= 0; i-- {
		if a.payer.affords(list[i]) {
			return list[i]
		}
	}
	return nil
}

// affords reports whether b may take e over from the map that had it last.
func (b *budget[S]) affords(e *entry[S]) bool { return e.payer == b || b.room() }

// lend hands e, fresh or idle, to a session.
func (p *Pools[S]) lend(e *entry[S], a *Asker[S], now time.Time) Lease[S] {
	if e.state == idle {
		p.unpark(e)
	}
	fresh := !e.reused
	e.move(leased, now)
	e.session, e.reused = a.request.Session, true
	a.last, a.serial = e, e.serial
	if e.payer != a.payer {
		e.payer.used--
		p.free(e.payer)
		a.payer.used++
		e.payer = a.payer
	}
	e.pool.totals.leases++
	return Lease[S]{pools: p, entry: e, server: e.server, serial: e.serial, fresh: fresh}
}
