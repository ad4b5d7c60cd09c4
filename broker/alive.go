package broker

import "github.com/pgsignet/pgsignet/pgwire"

// Alive returns once each lock that a login or a transaction passes through has been free for a moment: those
// of the listeners, the index of sessions, the cancel keys, the limits and the pools. Where one of them hangs
// it never returns, and only a new process helps. It waits for no disk and no server.
func (s *Server) Alive() {
	for _, d := range s.doors {
		d.addresses()
	}
	s.live.all()
	s.keys.find(pgwire.CancelKey{})
	s.count.size()
	s.pools.Stats()
}

// addresses is how many have connections half open.
func (d *door) addresses() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.byAddr)
}

// size is how many maps and identities have sessions.
func (c *sessionCounts) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}
