package pool

import (
	"context"
	"errors"
	"time"
)

// Acquire lends one connection for r. It blocks until one is free or made, for Limits.WaitTimeout
// at most. The error is ctx's cause, one of the Err variables, or that of a dial.
func (p *Pools[S]) Acquire(ctx context.Context, r Request) (Lease[S], error) {
	now := p.lock()
	if err := p.refuses(&r); err != nil {
		p.unlock()
		return Lease[S]{}, err
	}
	pl, payer := p.pool(&r)
	pl.used = now
	if pl.waiters.len() == 0 && !pl.paused {
		if e := p.take(pl, payer, r.Session, now); e != nil {
			lease := p.lend(e, payer, r.Session, now)
			p.unlock()
			return lease, nil
		}
	}
	w := p.enqueue(pl, payer, &r, now)
	p.unlock()
	return p.wait(ctx, w, r.Limits.WaitTimeout)
}

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
func (p *Pools[S]) enqueue(pl *pool[S], payer *budget[S], r *Request, now time.Time) *waiter[S] {
	p.arrived++
	w := p.newWaiter()
	w.n, w.pool, w.payer, w.session, w.ended, w.since = p.arrived, pl, payer, r.Session, r.Ended, now
	pl.waiters.push(w)
	pl.totals.waits++
	p.wants(pl)
	return w
}

// wait blocks until w is answered, ctx ends or the time is up.
func (p *Pools[S]) wait(ctx context.Context, w *waiter[S], limit time.Duration) (Lease[S], error) {
	defer p.putWaiter(w)
	w.timer.Reset(limit)
	select {
	case a := <-w.ready:
		return a.lease, a.err
	case <-ctx.Done():
		return p.leave(w, context.Cause(ctx))
	case <-w.timer.C:
		return p.leave(w, ErrTimeout)
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
	if errors.Is(why, ErrTimeout) && w.pool.failures > 0 {
		why = w.pool.lastErr // the reason for the long wait (W69)
	}
	w.pool.waiters.remove(w)
	return Lease[S]{}, why
}

// take returns an idle connection of pl that payer may have, or nil: the one that last served the
// session, else the most recently used. Those it finds spent or dead are closed.
func (p *Pools[S]) take(pl *pool[S], payer *budget[S], session string, now time.Time) *entry[S] {
	for {
		e := pl.choose(payer, session)
		if e == nil || !e.spent(now) && e.server.Healthy() {
			return e
		}
		p.close(e, now)
	}
}

func (pl *pool[S]) choose(payer *budget[S], session string) (best *entry[S]) {
	for i := len(pl.idle) - 1; i >= 0; i-- {
		e := pl.idle[i]
		if !payer.affords(e) {
			continue
		}
		if session != "" && e.session == session {
			return e
		}
		if best == nil {
			best = e
		}
	}
	return best
}

// affords reports whether b may take e over from the map that had it last.
func (b *budget[S]) affords(e *entry[S]) bool { return e.payer == b || b.room() }

// lend hands e, fresh or idle, to a session.
func (p *Pools[S]) lend(e *entry[S], payer *budget[S], session string, now time.Time) Lease[S] {
	if e.state == idle {
		p.unpark(e)
	}
	fresh := !e.reused
	e.move(leased, now)
	e.session, e.reused = session, true
	if e.payer != payer {
		e.payer.used--
		p.free(e.payer)
		payer.used++
		e.payer = payer
	}
	e.pool.totals.leases++
	return Lease[S]{pools: p, entry: e, server: e.server, serial: e.serial, fresh: fresh}
}
