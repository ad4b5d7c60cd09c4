package pool

import (
	"context"
	"time"
)

// sweepEvery is how often Run looks for connections that are due to end.
const sweepEvery = time.Second

// forgetAfter is how long the record of an unused key without connections is kept, and maxForgotten
// how many of them: clients choose the names behind `database "*"`.
const (
	forgetAfter  = 10 * time.Minute
	maxForgotten = 4096
)

// Run keeps the pools until ctx ends: it closes what is expired, idle for too long or dead, keeps
// MinIdle connections ready and retries failed dials. Without it none of that happens.
func (p *Pools[S]) Run(ctx context.Context) {
	timer := time.NewTimer(sweepEvery)
	defer timer.Stop()
	swept := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-p.wake:
		}
		now := p.lock()
		next := p.retry(now)
		if now.Sub(swept) >= sweepEvery {
			p.sweep(now)
			swept = now
		}
		p.unlock()
		timer.Reset(min(next.Sub(now), swept.Add(sweepEvery).Sub(now)))
	}
}

// poke makes Run look again.
func (p *Pools[S]) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// retry lets the pools dial again whose pause is over and returns when the next one's is.
func (p *Pools[S]) retry(now time.Time) (next time.Time) {
	next = now.Add(sweepEvery)
	for pl := range p.failing {
		if pl.retryAt.After(now) {
			if pl.retryAt.Before(next) {
				next = pl.retryAt
			}
			continue
		}
		delete(p.failing, pl)
		p.wants(pl)
	}
	return next
}

// sweep ends connections, refills MinIdle and forgets unused keys.
func (p *Pools[S]) sweep(now time.Time) {
	for e := range p.idle.all {
		pl, limit := e.pool, e.pool.limits.IdleTimeout
		old := limit > 0 && now.Sub(e.since) >= limit && len(pl.idle) > pl.limits.MinIdle
		if old || e.spent(now) || !e.server.Healthy() {
			p.close(e, now)
		}
	}
	crowded := len(p.pools) > maxForgotten
	for key, pl := range p.pools {
		p.refill(pl, now)
		if len(pl.entries) == 0 && pl.waiters.len() == 0 && (crowded || key.Replication || now.Sub(pl.used) >= forgetAfter) {
			delete(p.failing, pl)
			delete(p.pools, key)
			pl.forgotten = true
		}
	}
}

// refill dials until MinIdle connections are ready, as far as there is room that nobody waits for.
func (p *Pools[S]) refill(pl *pool[S], now time.Time) {
	if p.closed || pl.paused || pl.waiters.len() > 0 {
		return
	}
	for pl.counts[idle]+pl.counts[dialing] < pl.limits.MinIdle {
		if !pl.upstream.room() || !pl.payer.room() || !p.mayDial(pl, now) {
			return
		}
		p.dial(pl, pl.payer, now)
	}
}
