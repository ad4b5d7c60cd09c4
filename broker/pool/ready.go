package pool

import "time"

// Ready reports whether a new session of key may be let in without being handed a connection: one
// that goes on is there, so that the server has let the role in and is still to be reached, and the
// key is not paused. When the last proof that the role may log in is older than proof, a connection
// that is idle is to give a new one (CheckDue) before anybody is let in; while all are lent, the
// session's first lease does.
func (p *Pools[S]) Ready(key Key, proof time.Duration) bool {
	now := p.lock()
	defer p.unlock()
	pl := p.pools[key]
	if p.closed || pl == nil || pl.paused {
		return false
	}
	if len(pl.idle) > 0 && pl.waiters.len() == 0 && now.Sub(pl.checked) >= proof {
		return false
	}
	for _, e := range pl.entries {
		switch {
		case e.spent(now):
		case e.state == leased, e.state == idle && e.server.Healthy():
			return true
		}
	}
	return false
}
