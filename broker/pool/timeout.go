package pool

import "time"

// remind makes sure that somebody looks at the waiters when one of them has waited until then. Those of a
// process mostly have the same patience: one alarm serves them all, and is seldom moved.
func (p *Pools[S]) remind(when time.Time) {
	if !p.alarmAt.IsZero() && !when.Before(p.alarmAt) {
		return
	}
	p.alarmAt = when
	if p.alarm == nil {
		p.work.Add(1)
		p.alarm = time.AfterFunc(time.Until(when), p.timeouts)
	} else if !p.alarm.Reset(time.Until(when)) {
		p.work.Add(1)
	}
}

// timeouts answers the waiters whose time is up.
func (p *Pools[S]) timeouts() {
	defer p.work.Done()
	now := p.lock()
	defer p.unlock()
	p.alarmAt = time.Time{}
	var next time.Time
	for _, pl := range p.pools {
		for w := range pl.waiters.all {
			end := w.since.Add(w.asker.request.Limits.WaitTimeout)
			switch {
			case !now.Before(end):
				w.answer(answer[S]{err: pl.late()})
			case next.IsZero() || end.Before(next):
				next = end
			}
		}
	}
	if !next.IsZero() {
		p.remind(next)
	}
}

// late is what a waiter reads whose time is up: the reason for the long wait, if there is one (W69).
func (pl *pool[S]) late() error {
	if pl.failures > 0 {
		return pl.lastErr
	}
	return ErrTimeout
}
