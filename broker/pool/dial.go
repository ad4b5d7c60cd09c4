package pool

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pauses between dials against a failing server. The longest bounds how long a server that came
// back goes unnoticed.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
)

// dial starts a dial for pl, paid by payer. It outlives whoever asked, not the pools.
func (p *Pools[S]) dial(pl *pool[S], payer *budget[S], now time.Time) {
	ctx, cancel := context.WithCancel(context.Background())
	e := &entry[S]{pool: pl, payer: payer, state: dialing, since: now, cancel: cancel}
	pl.entries = append(pl.entries, e)
	pl.counts[dialing]++
	pl.upstream.used++
	payer.used++
	pl.totals.dials++
	p.work.Go(func() {
		defer cancel()
		s, err := p.cfg.Dial(ctx, pl.key)
		p.dialed(e, s, err)
	})
}

// dialed ends a dial.
func (p *Pools[S]) dialed(e *entry[S], s S, err error) {
	now := p.lock()
	defer p.unlock()
	pl := e.pool
	if err != nil {
		p.drop(e)
		if !e.doomed {
			p.failed(pl, err, now)
		}
		return
	}
	pl.failures, pl.lastErr, pl.checked = 0, nil, now
	e.server, e.created = s, now
	p.servers[s] = e
	if life := pl.limits.MaxLifetime; life > 0 {
		e.expireBy(now.Add(life - rand.N(life/10+1))) // Retire may have set an earlier end during the dial
	}
	if pl.waiters.len() == 0 || e.spent(now) || p.closed {
		p.giveBack(e, now)
		return
	}
	p.park(e, now) // serves one here before it can be owed to another pool
	p.wants(pl)
}

// failed notes a failed dial. While others are under way for pl the last of them speaks for all.
func (p *Pools[S]) failed(pl *pool[S], err error, now time.Time) {
	pl.failures++
	pl.lastErr = err
	pl.retryAt = now.Add(pause(pl.failures))
	pl.totals.dialErrors++
	if pl.counts[dialing] == 0 && !keepsWaiting(err, pl.live()) {
		pl.failAll(err)
	}
}

// pause is how long to leave a server alone after n failures in a row: doubling, half of it random.
func pause(n int) time.Duration {
	d := longestPause
	if n < 10 {
		d = min(firstPause<<(n-1), longestPause)
	}
	return d/2 + rand.N(d/2)
}

// failAll answers every waiter with err.
func (pl *pool[S]) failAll(err error) {
	for w := range pl.waiters.all {
		w.answer(answer[S]{err: err})
	}
}

// kill ends every connection of pl, leased ones and dials too.
func (p *Pools[S]) kill(pl *pool[S], now time.Time) {
	for _, e := range pl.entries {
		switch e.state {
		case dialing:
			e.doomed = true
			e.cancel()
		case idle, leased:
			p.close(e, now)
		}
	}
}
