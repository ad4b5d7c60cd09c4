package pool

import (
	"container/list"
	"time"
)

// waiter is an Acquire that found nothing ready. Pools.mu guards all but ready.
type waiter[S Server] struct {
	// Fixed at creation.
	n       uint64 // order of arrival over all pools
	pool    *pool[S]
	payer   *budget[S]
	session string
	ended   func() bool
	since   time.Time

	place *list.Element // in the queue; nil once answered

	ready chan answer[S] // holds one: the answer never blocks
}

// answer is a lease or the reason why there is none.
type answer[S Server] struct {
	lease Lease[S]
	err   error
}

// queue is the waiters of one key in order of arrival.
type queue[S Server] struct{ list list.List }

func (q *queue[S]) len() int { return q.list.Len() }

func (q *queue[S]) push(w *waiter[S]) { w.place = q.list.PushBack(w) }

func (q *queue[S]) first() *waiter[S] {
	if front := q.list.Front(); front != nil {
		return front.Value.(*waiter[S])
	}
	return nil
}

// all yields the waiters, longest first; the one yielded may be removed.
func (q *queue[S]) all(yield func(*waiter[S]) bool) {
	for place := q.list.Front(); place != nil; {
		next := place.Next()
		if !yield(place.Value.(*waiter[S])) {
			return
		}
		place = next
	}
}

// remove takes w out of its queue.
func (w *waiter[S]) remove() {
	w.pool.waiters.list.Remove(w.place)
	w.place = nil
}

// answer takes w out of its queue and sends it a.
func (w *waiter[S]) answer(a answer[S]) {
	w.remove()
	w.ready <- a
}

// over reports whether w's session is over.
func (w *waiter[S]) over() bool { return w.ended != nil && w.ended() }
