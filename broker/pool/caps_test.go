package pool

import (
	"testing"
	"testing/synctest"
	"time"
)

// capped is a request under an upstream cap.
func capped(role string, size, upstream int) Request {
	r := request(role, size)
	r.Limits.UpstreamMax = upstream
	return r
}

// An idle connection of another key is closed to make room, and only then the new one is dialled.
func TestEvictIdleOfOtherKey(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		w.closeTime = 50 * time.Millisecond
		old := acquire(t, p, capped("a", 2, 2))
		recent := acquire(t, p, capped("a", 2, 2))
		old.Release()
		time.Sleep(time.Second)
		recent.Release()
		start := time.Now()
		acquire(t, p, capped("b", 2, 2)).Release()
		if took := time.Since(start); took < w.closeTime+w.dialTime {
			t.Errorf("took %v: dialled before the slot was free", took)
		}
		if w.most("u") > 2 {
			t.Errorf("%d connections at once, cap 2", w.most("u"))
		}
		if !old.Server().closed.Load() || recent.Server().closed.Load() {
			t.Error("want the connection closed that was idle for longest")
		}
	})
}

// Keys that wait for the upstream's cap take turns with those that have its connections.
func TestFairnessAcrossKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		var held []Lease[*server]
		for range 4 {
			held = append(held, acquire(t, p, capped("a", 4, 4)))
		}
		b := []*asked{ask(p, capped("b", 4, 4)), ask(p, capped("b", 4, 4))}
		time.Sleep(time.Second)
		var a []*asked
		for range 4 {
			a = append(a, ask(p, capped("a", 4, 4)))
		}
		held[0].Release()
		time.Sleep(10 * time.Millisecond)
		if b[0].waits() {
			t.Fatal("the older waiter of a key without a connection was passed over")
		}
		held[1].Release()
		time.Sleep(10 * time.Millisecond)
		if b[1].waits() {
			t.Fatal("the older waiter of a key with two fewer was passed over")
		}
		// Two each: no more is taken away, though all of b's would be older.
		more := ask(p, capped("b", 4, 4))
		time.Sleep(time.Millisecond)
		held[2].Release()
		if a[0].waits() {
			t.Error("a connection was taken from a key with no more than the other")
		}
		for _, l := range []Lease[*server]{a[0].get(t), held[3], b[0].get(t), b[1].get(t)} {
			l.Release()
		}
		for _, x := range append(a[1:], more) {
			x.get(t).Release()
		}
		if w.most("u") > 4 {
			t.Errorf("%d connections at once, cap 4", w.most("u"))
		}
	})
}

// A slot is taken from a pool once for each that needs it, not once for each release.
func TestNoNeedlessClose(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		var held []Lease[*server]
		for range 4 {
			held = append(held, acquire(t, p, capped("a", 4, 4)))
		}
		b := ask(p, capped("b", 4, 4))
		for _, l := range held {
			l.Release()
		}
		b.get(t).Release()
		synctest.Wait()
		if n := p.Stats()[0].Idle; n != 3 {
			t.Errorf("%d of a's connections are left, want 3", n)
		}
	})
}

// limits.pool of a map: over all its keys, idle ones included.
func TestMapCap(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		of := func(role, m string) Request {
			r := request(role, 3)
			r.Key.Share = "" // shared by role: maps meet in one pool
			r.Map, r.Limits.MapMax = m, 1
			return r
		}
		x := acquire(t, p, of("a", "x"))
		x2 := ask(p, of("a", "x"))
		time.Sleep(time.Second)
		if !x2.waits() {
			t.Fatal("map x holds two connections, cap 1")
		}
		// Another map is not held up by x, though x waited longer.
		y := acquire(t, p, of("a", "y"))
		x.Release()
		x3 := x2.get(t)
		y.Release()
		// y's own idle connection at role a makes room for role b.
		yb := acquire(t, p, of("b", "y"))
		synctest.Wait()
		if !y.Server().closed.Load() {
			t.Error("map y holds an idle and a leased connection, cap 1")
		}
		yb.Release()
		x3.Release()
	})
}

// A waiter that no idle connection of its pool may serve, its map being at its cap elsewhere.
func TestMapCapWithIdleOfOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		of := func(role, m string, most int) Request {
			r := request(role, 1)
			r.Key.Share = ""
			r.Map, r.Limits.MapMax = m, most
			return r
		}
		acquire(t, p, of("a", "x", 0)).Release() // idle, paid by x; pool a is full
		y := acquire(t, p, of("b", "y", 1))
		waits := ask(p, of("a", "y", 1))
		time.Sleep(time.Second)
		if !waits.waits() {
			t.Fatal("map y holds two connections, cap 1")
		}
		y.Release()
		waits.get(t).Release()
	})
}

func TestLoweredCaps(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		a, b := acquire(t, p, capped("a", 2, 0)), acquire(t, p, capped("a", 2, 0))
		c := ask(p, capped("a", 1, 0))
		a.Release()
		synctest.Wait()
		if !a.Server().closed.Load() {
			t.Error("a connection above the new size was kept")
		}
		b.Release()
		c.get(t).Release()
		raised := acquire(t, p, capped("a", 2, 1))
		blocked := ask(p, capped("b", 2, 1))
		if !blocked.waits() {
			t.Error("the upstream's cap did not hold")
		}
		acquire(t, p, capped("c", 2, 3)).Release()
		blocked.get(t).Release()
		raised.Release()
	})
}
