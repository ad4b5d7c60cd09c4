package pool

import "time"

// waiter is an Acquire that found nothing ready. It is used again and again.
type waiter[S Server] struct {
	// Fixed when it was made.
	ready chan answer[S] // holds one: answering never blocks

	// Fixed while it waits.
	n     uint64 // order of arrival over all pools
	asker *Asker[S]
	since time.Time

	// Pools.mu guards these.
	queued     bool // not answered yet
	prev, next *waiter[S]
}

// answer is a lease or the reason why there is none.
type answer[S Server] struct {
	lease Lease[S]
	err   error
}

// queue is the waiters of one key in order of arrival. Its zero value is empty.
type queue[S Server] struct {
	first, last *waiter[S]
	n           int
}

func (q *queue[S]) len() int { return q.n }

func (q *queue[S]) push(w *waiter[S]) {
	w.queued, w.prev, w.next = true, q.last, nil
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
	q.n++
}

func (q *queue[S]) remove(w *waiter[S]) {
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
	q.n--
}

// all yields the waiters, longest first; the one yielded may be removed.
func (q *queue[S]) all(yield func(*waiter[S]) bool) {
	for w := q.first; w != nil; {
		next := w.next
		if !yield(w) {
			return
		}
		w = next
	}
}

// answer takes w out of its queue and sends it a.
func (w *waiter[S]) answer(a answer[S]) {
	w.asker.pool.waiters.remove(w)
	w.ready <- a
}

// over reports whether w's session is over.
func (w *waiter[S]) over() bool {
	ended := w.asker.request.Ended
	return ended != nil && ended()
}

// newWaiter returns one that is not in use.
func (p *Pools[S]) newWaiter() *waiter[S] {
	if w, ok := p.spare.Get().(*waiter[S]); ok {
		return w
	}
	return &waiter[S]{ready: make(chan answer[S], 1)}
}

// putWaiter takes one back that was answered or has left.
func (p *Pools[S]) putWaiter(w *waiter[S]) {
	w.asker = nil
	p.spare.Put(w)
}
