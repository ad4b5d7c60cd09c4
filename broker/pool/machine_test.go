package pool

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// errLeft is the cause with which a client of the machine leaves the queue.
var errLeft = errors.New("left")

// client is one Acquire in the machine and what became of it.
type client struct {
	*asked
	n         int // order of arrival
	role, of  string
	ended     atomic.Bool
	cancelled bool
}

// machine drives pools at random and checks them after every step: nothing is handed out twice, no
// cap is exceeded, nobody is overtaken, nobody served who is gone.
type machine struct {
	p *Pools[*server]
	w *world

	upstreamMax, mapMax int
	sizes               map[string]int

	arrived int
	pending []*client
	holding []*client
}

// bubbled hides from rapid that this is a *testing.T, whose Deadline panics in a bubble.
type bubbled struct{ *testing.T }

func TestMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(rt *rapid.T) {
			m := &machine{
				upstreamMax: rapid.IntRange(1, 6).Draw(rt, "upstream cap"),
				mapMax:      rapid.SampledFrom([]int{0, 1, 2, 4}).Draw(rt, "map cap"),
				sizes:       map[string]int{"a": 1, "b": 2, "c": 4},
			}
			var stop func()
			m.p, m.w, stop = start(rt)
			defer stop()
			rt.Repeat(map[string]func(*rapid.T){
				"":        m.check,
				"ask":     m.ask,
				"ask ":    m.ask,
				"release": func(rt *rapid.T) { m.giveBack(rt, Lease[*server].Release) },
				"destroy": func(rt *rapid.T) { m.giveBack(rt, Lease[*server].Destroy) },
				"cancel":  func(rt *rapid.T) { m.cancel(rt); m.check(rt) },
				"race":    func(rt *rapid.T) { m.cancel(rt); m.giveBack(rt, Lease[*server].Release) },
				"end":     m.end,
				"sicken":  m.sicken,
				"wait":    m.wait,
				"dials":   m.dials,
				"pause":   func(*rapid.T) { m.p.lock(); m.p.setPaused(Scope{}, func(error) {}); m.p.unlock() },
				"resume":  func(*rapid.T) { m.p.Resume(Scope{}) },
				"retire":  m.retire,
				"kill":    m.kill,
			})
			m.finish(rt)
		})
	})
}

func (m *machine) ask(rt *rapid.T) {
	c := &client{n: m.arrived, role: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "role")}
	c.of = rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "map")
	m.arrived++
	r := request(c.role, m.sizes[c.role])
	r.Key.Share, r.Map, r.Session = "", c.of, fmt.Sprint(c.n%3)
	r.Limits.UpstreamMax, r.Limits.MapMax, r.Limits.WaitTimeout = m.upstreamMax, m.mapMax, time.Hour
	r.Limits.MaxLifetime, r.Limits.IdleTimeout = 6*time.Second, 2*time.Second
	r.Ended = c.ended.Load
	c.asked = ask(m.p, r)
	m.pending = append(m.pending, c)
}

func (m *machine) giveBack(rt *rapid.T, how func(Lease[*server])) {
	if len(m.holding) == 0 {
		rt.Skip("nothing is lent")
	}
	i := rapid.IntRange(0, len(m.holding)-1).Draw(rt, "holder")
	c := m.holding[i]
	m.holding = slices.Delete(m.holding, i, i+1)
	how(c.lease)
	how(c.lease) // the second means nothing
}

func (m *machine) one(rt *rapid.T) *client {
	if len(m.pending) == 0 {
		rt.Skip("nobody waits")
	}
	return rapid.SampledFrom(m.pending).Draw(rt, "waiter")
}

func (m *machine) cancel(rt *rapid.T) {
	c := m.one(rt)
	c.cancelled = true
	c.asked.cancel(errLeft)
}

func (m *machine) end(rt *rapid.T) { m.one(rt).ended.Store(true) }

func (m *machine) sicken(rt *rapid.T) {
	for _, s := range m.w.made() {
		if !s.closed.Load() && rapid.IntRange(0, 3).Draw(rt, "luck") == 0 {
			s.sick.Store(true)
		}
	}
}

func (m *machine) wait(rt *rapid.T) {
	time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, 10 * time.Millisecond, 3 * time.Second}).Draw(rt, "time"))
}

func (m *machine) dials(rt *rapid.T) {
	m.w.fail(rapid.SampledFrom([]error{nil, nil, refusal("28000"), refusal("57P03"), refusal("53300")}).Draw(rt, "dials fail with"))
}

func (m *machine) retire(rt *rapid.T) {
	role := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "role")
	m.p.Retire(0, func(i ServerInfo[*server]) bool { return i.Key.Role == role })
}

// kill closes everything, at the moment when a connection goes to somebody who leaves. Nobody
// notices but by Close under his lease.
func (m *machine) kill(rt *rapid.T) {
	m.cancel(rt)
	m.giveBack(rt, Lease[*server].Release)
	m.p.Kill(Scope{})
	for _, c := range m.holding {
		c.lease.Release() // of a connection that is closed: nothing
	}
	m.holding = nil
	synctest.Wait()
	for _, c := range m.pending {
		if !c.waits() && c.err == nil {
			c.err = errLeft // got one, but it is closed
			c.cancelled = true
			c.lease.Release()
		}
	}
	m.p.Resume(Scope{})
}

// check collects the answers and holds the invariants.
func (m *machine) check(rt *rapid.T) {
	synctest.Wait()
	m.collect(rt)
	lent := make(map[*server]int)
	for _, c := range m.holding {
		s := c.lease.Server()
		if other, twice := lent[s]; twice {
			rt.Fatalf("server %d is lent to %d and %d", s.id, other, c.n)
		}
		if lent[s] = c.n; s.closed.Load() {
			rt.Fatalf("server %d was closed under client %d", s.id, c.n)
		}
	}
	m.checkCaps(rt)
}

func (m *machine) collect(rt *rapid.T) {
	var still []*client
	for _, c := range m.pending {
		if c.waits() {
			still = append(still, c)
			continue
		}
		if c.err == nil {
			m.granted(rt, c)
		} else if !(errors.Is(c.err, errLeft) && c.cancelled) && !errors.Is(c.err, ErrEnded) &&
			!errors.Is(c.err, ErrKilled) && !isRefusal(c.err) {
			rt.Fatalf("client %d got %v", c.n, c.err)
		}
	}
	m.pending = still
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[refusal](err)
	return ok
}

// granted checks the order: nobody of the same key is overtaken, but where maps have caps.
func (m *machine) granted(rt *rapid.T, c *client) {
	m.holding = append(m.holding, c)
	if c.ended.Load() {
		rt.Fatalf("client %d was served after its end", c.n)
	}
	for _, other := range m.pending {
		if other.n < c.n && other.role == c.role && (m.mapMax == 0 || other.of == c.of) &&
			other.waits() && !other.ended.Load() {
			rt.Fatalf("client %d overtook client %d", c.n, other.n)
		}
	}
}

func (m *machine) checkCaps(rt *rapid.T) {
	if n := m.w.most("u"); n > m.upstreamMax {
		rt.Fatalf("%d connections to the upstream, cap %d", n, m.upstreamMax)
	}
	for role, size := range m.sizes {
		if n := m.w.most(role); n > size {
			rt.Fatalf("%d connections as %s, cap %d", n, role, size)
		}
	}
	m.p.lock()
	defer m.p.unlock()
	for name, b := range m.p.payers {
		if m.mapMax > 0 && b.used > m.mapMax {
			rt.Fatalf("map %s holds %d connections, cap %d", name, b.used, m.mapMax)
		}
	}
}

// finish lets everything through: whoever still waits must be served, and nothing be left over.
func (m *machine) finish(rt *rapid.T) {
	m.w.fail(nil)
	m.p.Resume(Scope{})
	for range 20 * (m.arrived + 1) {
		if m.check(rt); len(m.pending) == 0 {
			break
		}
		time.Sleep(longestPause)
		for _, c := range m.holding {
			c.lease.Release()
		}
		m.holding = nil
	}
	for _, c := range m.holding {
		c.lease.Release()
	}
	time.Sleep(longestPause + 10*time.Millisecond) // past Run's sweep and what it closes
	synctest.Wait()
	for _, c := range m.pending {
		if !c.ended.Load() {
			rt.Fatalf("client %d of %s waits for ever: %+v", c.n, c.role, m.p.Stats())
		}
		c.asked.cancel(errLeft)
	}
	for _, s := range m.p.Stats() {
		if s.Active != 0 || s.Login != 0 || s.Closing != 0 {
			rt.Fatalf("left over: %+v", s)
		}
	}
}
