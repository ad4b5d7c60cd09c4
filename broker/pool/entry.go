package pool

import (
	"context"
	"slices"
	"time"
)

// state of a connection.
type state int

const (
	dialing state = iota
	idle
	leased
	closing
	states // their number
)

// entry is one connection, from the start of its dial to the end of its Close. Pools.mu guards it.
type entry[S Server] struct {
	// Fixed at creation.
	pool *pool[S]

	server S // unset while dialing
	state  state
	serial uint64     // changes with every change of hands: an old Lease does nothing
	payer  *budget[S] // the map that has it or, while idle, had it last

	created time.Time
	expires time.Time // zero: never
	since   time.Time // in this state
	session string    // leased to it now or last
	reused  bool      // has been leased before
	doomed  bool      // closed as soon as it comes back

	cancel     context.CancelFunc // of the dial
	prev, next *entry[S]          // in Pools.idle
}

// move changes e's state and the counts.
func (e *entry[S]) move(to state, now time.Time) {
	e.pool.counts[e.state]--
	e.pool.counts[to]++
	e.state, e.since = to, now
	e.serial++
}

// spent reports that e must not be used again at now.
func (e *entry[S]) spent(now time.Time) bool {
	return e.doomed || !e.expires.IsZero() && !now.Before(e.expires)
}

// expireBy sets when e ends, unless that is to be sooner.
func (e *entry[S]) expireBy(end time.Time) {
	if e.expires.IsZero() || end.Before(e.expires) {
		e.expires = end
	}
}

// lru is a ring of idle connections, longest idle first. Its zero value must be initialised.
type lru[S Server] struct{ root entry[S] }

func (l *lru[S]) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *lru[S]) push(e *entry[S]) {
	e.prev, e.next = l.root.prev, &l.root
	e.prev.next, e.next.prev = e, e
}

func (l *lru[S]) remove(e *entry[S]) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

// all yields the ring in order; what is yielded may be removed.
func (l *lru[S]) all(yield func(*entry[S]) bool) {
	for e := l.root.next; e != &l.root; {
		next := e.next
		if !yield(e) {
			return
		}
		e = next
	}
}

// park makes e idle.
func (p *Pools[S]) park(e *entry[S], now time.Time) {
	e.move(idle, now)
	e.pool.idle = append(e.pool.idle, e)
	p.idle.push(e)
}

// unpark takes an idle e out of the lists of idle connections; the caller moves it on.
func (p *Pools[S]) unpark(e *entry[S]) {
	list := e.pool.idle
	i := len(list) - 1
	for list[i] != e {
		i--
	}
	e.pool.idle = slices.Delete(list, i, i+1)
	p.idle.remove(e)
}

// close ends e: its slot is free once Close has returned. A leased connection is closed under its
// lessee, whose lease then means nothing.
func (p *Pools[S]) close(e *entry[S], now time.Time) {
	if e.state == idle {
		p.unpark(e)
	}
	e.move(closing, now)
	delete(p.servers, e.server)
	e.pool.upstream.closing++
	e.payer.closing++
	p.work.Go(func() {
		e.server.Close() // whatever it says, we are done with it
		p.lock()
		defer p.unlock()
		e.pool.upstream.closing--
		e.payer.closing--
		p.drop(e)
	})
}

// drop forgets a connection that is closed or was never made; unlock gives its slot away.
func (p *Pools[S]) drop(e *entry[S]) {
	pl := e.pool
	pl.counts[e.state]--
	i := slices.Index(pl.entries, e)
	pl.entries = slices.Delete(pl.entries, i, i+1)
	pl.upstream.used--
	e.payer.used--
	p.free(pl.upstream)
	p.free(e.payer)
	p.wants(pl)
	p.notify()
	var none S
	e.server = none // an Asker may remember e
}
