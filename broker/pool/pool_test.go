package pool

import (
	"context"
	"errors"
	"flag"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgsignet/pgsignet/testenv/poll"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "1000"); err != nil { // a default: the command line wins
		panic(err)
	}
	os.Exit(poll.Main(m))
}

// server is a connection of the world below.
type server struct {
	id    int
	key   Key
	world *world

	sick, closed, retired atomic.Bool
}

func (s *server) Healthy() bool { return !s.sick.Load() }
func (s *server) Retire()       { s.retired.Store(true) }

func (s *server) Close() error {
	if s.closed.Swap(true) {
		panic("closed twice")
	}
	time.Sleep(s.world.closeTime)
	s.world.add(s.key, -1)
	return nil
}

// world is the servers behind the pools. It checks that caps hold where they matter: there.
type world struct {
	dialTime, closeTime time.Duration

	mu     sync.Mutex
	err    error
	last   int
	dials  int
	open   map[string]int // by upstream, and by role
	peak   map[string]int
	opened []*server
}

func (w *world) dial(ctx context.Context, key Key) (*server, error) {
	w.mu.Lock()
	w.dials++
	w.mu.Unlock()
	w.add(key, 1)
	select {
	case <-ctx.Done():
		w.add(key, -1)
		return nil, context.Cause(ctx)
	case <-time.After(w.dialTime):
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		w.count(key, -1)
		return nil, w.err
	}
	w.last++
	s := &server{id: w.last, key: key, world: w}
	w.opened = append(w.opened, s)
	return s, nil
}

func (w *world) add(key Key, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count(key, n)
}

func (w *world) count(key Key, n int) {
	for _, of := range []string{key.Upstream, key.Role} {
		w.open[of] += n
		w.peak[of] = max(w.peak[of], w.open[of])
	}
}

// most returns how many connections of an upstream or a role were open at once.
func (w *world) most(of string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peak[of]
}

// left returns how many connections of an upstream or a role are open.
func (w *world) left(of string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open[of]
}

func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *world) dialed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dials
}

// made is every server that was dialled so far.
func (w *world) made() []*server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.opened)
}

// inBubble runs f with pools that Run keeps, under synctest's clock.
func inBubble(t *testing.T, f func(t *testing.T, p *Pools[*server], w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, w, stop := start(t)
		f(t, p, w)
		stop()
		for of, n := range w.open {
			if n != 0 {
				t.Errorf("%d connections of %q are left open", n, of)
			}
		}
	})
}

// start makes a world and pools on it; stop joins all they started.
func start(t interface{ Fatal(...any) }) (p *Pools[*server], w *world, stop func()) {
	w = &world{dialTime: 5 * time.Millisecond, closeTime: time.Millisecond, open: map[string]int{}, peak: map[string]int{}}
	p, err := New(Config[*server]{Dial: w.dial})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { p.Run(ctx) })
	return p, w, func() {
		p.Close()
		cancel()
		run.Wait()
	}
}

// asked is an Acquire under way.
type asked struct {
	lease  Lease[*server]
	err    error
	done   chan struct{}
	cancel context.CancelCauseFunc
}

func ask(p *Pools[*server], r Request) *asked {
	ctx, cancel := context.WithCancelCause(context.Background())
	a := &asked{done: make(chan struct{}), cancel: cancel}
	go func() {
		a.lease, a.err = p.Asker(r).Acquire(ctx)
		close(a.done)
	}()
	synctest.Wait()
	return a
}

func (a *asked) waits() bool {
	synctest.Wait()
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

// get waits for a lease.
func (a *asked) get(t *testing.T) Lease[*server] {
	t.Helper()
	<-a.done
	if a.err != nil {
		t.Fatalf("acquire: %v", a.err)
	}
	return a.lease
}

func request(role string, size int) Request {
	return Request{
		Key:    Key{Upstream: "u", Database: "d", Role: role, Share: "m"},
		Limits: Limits{Size: size, WaitTimeout: time.Minute},
		Map:    "m",
	}
}

func acquire(t *testing.T, p *Pools[*server], r Request) Lease[*server] {
	t.Helper()
	return ask(p, r).get(t)
}

func TestReuse(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		first := acquire(t, p, request("a", 2))
		if !first.Fresh() {
			t.Error("a new connection is not fresh")
		}
		first.Release()
		second := acquire(t, p, request("a", 2))
		if second.Server() != first.Server() || second.Fresh() {
			t.Errorf("got server %d, fresh %v; want server %d again", second.Server().id, second.Fresh(), first.Server().id)
		}
		first.Release() // of an old lease: nothing
		third := acquire(t, p, request("a", 2))
		if third.Server() == second.Server() {
			t.Error("one connection was lent twice")
		}
	})
}

func TestPreference(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		var leases []Lease[*server]
		var askers []*Asker[*server]
		lend := func(a *Asker[*server]) Lease[*server] {
			l, err := a.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		for range 3 {
			askers = append(askers, p.Asker(request("a", 3)))
			leases = append(leases, lend(askers[len(askers)-1]))
		}
		for _, l := range leases {
			l.Release()
		}
		got := lend(askers[0])
		if got.Server() != leases[0].Server() {
			t.Error("the session did not get the server that served it last")
		}
		other := lend(p.Asker(request("a", 3)))
		if other.Server() != leases[2].Server() {
			t.Error("a new session did not get the most recently used server")
		}
		got.Release()
		other.Release()
		if got := lend(askers[2]); got.Server() != leases[2].Server() {
			t.Error("a session did not get the most recently used server after somebody else had had its own")
		}
	})
}

// W89: strict FIFO with direct hand-off.
func TestW89FIFO(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		l := acquire(t, p, request("a", 1))
		var queue []*asked
		for range 5 {
			queue = append(queue, ask(p, request("a", 1)))
		}
		for i, a := range queue {
			l.Release()
			if a.waits() {
				t.Fatalf("waiter %d did not get the connection that came back", i)
			}
			for j, later := range queue[i+1:] {
				if !later.waits() {
					t.Fatalf("waiter %d overtook waiter %d", i+1+j, i)
				}
			}
			l = a.get(t)
		}
		if w.dialed() != 1 {
			t.Errorf("%d dials, want 1", w.dialed())
		}
		l.Release()
	})
}

// W89, T90: nobody who left or whose session ended gets a connection, and it is not lost.
func TestT90DeadWaiters(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		l := acquire(t, p, request("a", 1))
		gone := ask(p, request("a", 1))
		var ended atomic.Bool
		r := request("a", 1)
		r.Ended = ended.Load
		over := ask(p, r)
		last := ask(p, request("a", 1))

		cause := errors.New("client went away")
		gone.cancel(cause)
		if gone.waits() || !errors.Is(gone.err, cause) {
			t.Errorf("cancelled waiter got %v, want %v", gone.err, cause)
		}
		ended.Store(true)
		l.Release()
		if over.waits() || !errors.Is(over.err, ErrEnded) {
			t.Errorf("ended waiter got %v, want %v", over.err, ErrEnded)
		}
		last.get(t).Release()
		if _, err := p.Asker(r).Acquire(t.Context()); !errors.Is(err, ErrEnded) {
			t.Errorf("ended session acquires: %v, want %v", err, ErrEnded)
		}
	})
}

func TestWaitTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		l := acquire(t, p, request("a", 1))
		start := time.Now()
		_, err := p.Asker(request("a", 1)).Acquire(t.Context())
		if !errors.Is(err, ErrTimeout) || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v; want %v after a minute", time.Since(start), err, ErrTimeout)
		}
		l.Release()
		acquire(t, p, request("a", 1)).Release()
	})
}

// A dial goes on when its asker is gone, and serves the next.
func TestDialOutlivesAsker(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		a := ask(p, request("a", 1))
		a.cancel(errors.New("gone"))
		<-a.done
		time.Sleep(10 * time.Millisecond)
		if s := p.Stats()[0]; s.Idle != 1 || s.Login != 0 {
			t.Fatalf("idle %d, dialing %d; want 1, 0", s.Idle, s.Login)
		}
		acquire(t, p, request("a", 1)).Release()
		if w.dialed() != 1 {
			t.Errorf("%d dials, want 1", w.dialed())
		}
	})
}

func TestCloseEndsWaitersAndDials(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		w.dialTime = time.Hour
		a := ask(p, request("a", 1))
		start := time.Now()
		p.Close()
		if <-a.done; !errors.Is(a.err, ErrClosed) || time.Since(start) > time.Second {
			t.Errorf("waiter got %v after %v", a.err, time.Since(start))
		}
		if _, err := p.Asker(request("a", 1)).Acquire(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("acquire after Close: %v", err)
		}
	})
}

// An unhealthy or spent connection is never lent (W66).
func TestW66HealthBeforeReuse(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		l := acquire(t, p, request("a", 1))
		l.Release()
		l.Server().sick.Store(true)
		next := acquire(t, p, request("a", 1))
		if next.Server() == l.Server() {
			t.Error("a dead server was lent")
		}
		next.Server().sick.Store(true)
		next.Release()
		time.Sleep(2 * sweepEvery)
		if !next.Server().closed.Load() {
			t.Error("a server that came back dead was kept")
		}
		third := acquire(t, p, request("a", 1))
		third.Release()
		p.Discard(third.Server())
		synctest.Wait()
		if !third.Server().closed.Load() {
			t.Error("a discarded idle server was kept")
		}
	})
}

func TestExpiry(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		r := request("a", 3)
		r.Limits.MinIdle = 1
		r.Limits.IdleTimeout = 10 * time.Second
		r.Limits.MaxLifetime = time.Minute
		leases := []Lease[*server]{acquire(t, p, r), acquire(t, p, r), acquire(t, p, r)}
		for _, l := range leases {
			l.Release()
		}
		time.Sleep(15 * time.Second)
		if s := p.Stats()[0]; s.Idle != 1 {
			t.Errorf("%d idle after idle_timeout, want min_idle 1", s.Idle)
		}
		held := acquire(t, p, r)
		time.Sleep(time.Minute)
		held.Release()
		synctest.Wait()
		for i, s := range w.made()[:3] {
			if !s.closed.Load() {
				t.Errorf("server %d outlived max_lifetime", i)
			}
		}
		time.Sleep(5 * time.Second)
		if s := p.Stats()[0]; s.Idle != 1 {
			t.Errorf("%d idle, want min_idle 1 made again", s.Idle)
		}
	})
}

func TestCheckDue(t *testing.T) { // W95
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		l := acquire(t, p, request("a", 1))
		if l.CheckDue(10 * time.Second) {
			t.Error("a login just proved the role")
		}
		time.Sleep(10 * time.Second)
		if !l.CheckDue(10 * time.Second) {
			t.Error("the proof is 10 s old")
		}
		l.Checked()
		if l.CheckDue(10 * time.Second) {
			t.Error("the check was just made")
		}
	})
}
