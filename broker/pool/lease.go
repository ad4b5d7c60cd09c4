package pool

import "time"

// Lease is one connection, lent. It is a value: copies are the same lease, and only the first
// Release or Destroy counts.
type Lease[S Server] struct {
	pools  *Pools[S]
	entry  *entry[S]
	server S
	serial uint64
	fresh  bool
}

// Server is the connection. It is the lessee's alone until the lease ends.
func (l Lease[S]) Server() S { return l.server }

// Fresh reports that nobody had the connection before.
func (l Lease[S]) Fresh() bool { return l.fresh }

// current reports that the lease was not ended, by its holder, Kill or Close.
func (l Lease[S]) current() bool { return l.entry.serial == l.serial }

// Release gives the connection back, clean and idle, for the next: the longest waiter gets it
// before Release returns.
func (l Lease[S]) Release() {
	now := l.pools.lock()
	defer l.pools.unlock()
	if l.current() {
		l.pools.giveBack(l.entry, now)
	}
}

// Destroy closes the connection. It does not wait for that; the slot is free when it is done.
func (l Lease[S]) Destroy() {
	now := l.pools.lock()
	defer l.pools.unlock()
	if l.current() {
		l.pools.close(l.entry, now)
	}
}

// CheckDue reports whether the last proof that the role may still log in, a login or Checked, is
// older than every (W95).
func (l Lease[S]) CheckDue(every time.Duration) bool {
	now := l.pools.lock()
	defer l.pools.unlock()
	return now.Sub(l.entry.pool.checked) >= every
}

// Checked notes such a proof.
func (l Lease[S]) Checked() {
	now := l.pools.lock()
	defer l.pools.unlock()
	l.entry.pool.checked = now
}
