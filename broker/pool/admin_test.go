package pool

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var inD = Scope{Database: "d"}

// paused is a Pause under way.
func paused(p *Pools[*server], scope Scope) (done chan error, cancel context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	done = make(chan error, 1)
	go func() { done <- p.Pause(ctx, scope) }()
	synctest.Wait()
	return done, cancel
}

func TestPauseResume(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		busy, free := acquire(t, p, request("a", 2)), acquire(t, p, request("a", 2))
		free.Release()
		done, cancel := paused(p, inD)
		defer cancel(nil)
		if !free.Server().closed.Load() {
			t.Error("an idle connection survived PAUSE")
		}
		waits := ask(p, request("a", 2))
		fresh := ask(p, request("b", 2)) // a key that did not exist yet
		select {
		case <-done:
			t.Fatal("PAUSE ended with a connection out")
		default:
		}
		busy.Release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !waits.waits() || !fresh.waits() {
			t.Error("a paused database served")
		}
		if !p.Stats()[0].Paused {
			t.Error("stats do not say paused")
		}
		if p.Resume(Scope{Database: "other"}) {
			t.Error("resumed what was not paused")
		}
		if !p.Resume(inD) {
			t.Error("nothing to resume")
		}
		waits.get(t).Release()
		fresh.get(t).Release()
	})
}

func TestCancelledPauseResumes(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		l := acquire(t, p, request("a", 2))
		done, cancel := paused(p, Scope{})
		waits := ask(p, request("a", 2))
		cause := errors.New("cancelled")
		cancel(cause)
		if err := <-done; !errors.Is(err, cause) {
			t.Errorf("got %v, want %v", err, cause)
		}
		waits.get(t).Release()
		l.Release()
	})
}

// A PAUSE that still waits is over when somebody resumes: it does not wait on beside those who work again.
func TestResumeEndsPause(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		l := acquire(t, p, request("a", 2))
		done, cancel := paused(p, inD)
		defer cancel(nil)
		if !p.Resume(Scope{}) {
			t.Error("nothing to resume")
		}
		if err := <-done; !errors.Is(err, ErrResumed) {
			t.Errorf("got %v, want %v", err, ErrResumed)
		}
		l.Release()
	})
}

// A PAUSE that is cancelled takes back its own pause and no other.
func TestCancelledPauseSparesOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		other := request("a", 1)
		other.Key.Database = "e"
		l := acquire(t, p, other)
		first, stop := paused(p, inD) // nothing is lent there
		defer stop(nil)
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		second, _ := paused(p, inD)
		if err := <-second; !errors.Is(err, ErrPaused) {
			t.Errorf("a second PAUSE: got %v, want %v", err, ErrPaused)
		}
		all, cancel := paused(p, Scope{})
		cancel(errors.New("cancelled"))
		<-all
		if p.Paused(Key{}) || !p.Paused(inD.key()) {
			t.Error("the cancelled PAUSE has resumed another one, or is still in force")
		}
		p.Resume(inD)
		l.Release()
	})
}

func TestKill(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		l := acquire(t, p, request("a", 1))
		waits := ask(p, request("a", 1))
		other := request("a", 1)
		other.Key.Database = "e"
		spared := acquire(t, p, other)
		p.Kill(inD)
		synctest.Wait()
		if !l.Server().closed.Load() {
			t.Error("a leased connection survived KILL")
		}
		if waits.waits() || !errors.Is(waits.err, ErrKilled) {
			t.Errorf("waiter got %v, want %v", waits.err, ErrKilled)
		}
		l.Release() // means nothing any more
		if !ask(p, request("a", 1)).waits() {
			t.Error("KILL left the database running")
		}
		if spared.Server().closed.Load() {
			t.Error("KILL hit another database")
		}
		p.Resume(inD)
		spared.Release()
	})
}

func TestReconnectWaitClose(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		busy, free := acquire(t, p, request("a", 3)), acquire(t, p, request("a", 3))
		free.Release()
		dial := ask(p, request("b", 1)) // under way
		p.Reconnect(Scope{})
		done := make(chan error, 1)
		go func() { done <- p.WaitClose(context.Background(), Scope{}) }()
		l := dial.get(t)
		if l.Server() != w.made()[3] || len(w.made()) != 4 {
			t.Errorf("%d connections made; the dial from before RECONNECT was lent", len(w.made()))
		}
		if next := acquire(t, p, request("a", 3)); next.Server() == free.Server() {
			t.Error("an old connection was lent")
		}
		select {
		case <-done:
			t.Fatal("WAIT_CLOSE ended with an old connection out")
		default:
		}
		busy.Release()
		if err := <-done; err != nil {
			t.Error(err)
		}
		l.Release()
	})
}

// T80: a change of credential retires connections one by one.
func TestT80RetireSpread(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		var leases []Lease[*server]
		for range 20 {
			leases = append(leases, acquire(t, p, request("a", 20)))
		}
		for _, l := range leases {
			l.Release()
		}
		if n := p.Retire(time.Minute, func(i ServerInfo[*server]) bool { return i.Key.Role == "a" }); n != 20 {
			t.Errorf("%d retired, want 20", n)
		}
		time.Sleep(30 * time.Second)
		if n := p.Stats()[0].Idle; n == 0 || n == 20 {
			t.Errorf("%d of 20 left at half time", n)
		}
		time.Sleep(32 * time.Second)
		if n := p.Stats()[0].Idle; n != 0 {
			t.Errorf("%d left", n)
		}
	})
}

// W98: CloseIdle returns when the connections are closed.
func TestW98CloseIdle(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		w.closeTime = time.Second
		l := acquire(t, p, request("a", 1))
		l.Release()
		if err := p.CloseIdle(t.Context(), inD); err != nil {
			t.Fatal(err)
		}
		if w.left("u") != 0 {
			t.Error("CloseIdle returned before the connection was closed")
		}
	})
}

func TestDisable(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		key := request("a", 1).Key
		p.Disable(inD)
		if !p.Disabled(key) || p.Disabled(Key{Database: "e"}) {
			t.Error("want d disabled, e not")
		}
		p.Enable(Scope{})
		if p.Disabled(key) {
			t.Error("still disabled")
		}
	})
}

func TestForget(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		r := request("a", 2)
		r.Limits.MinIdle = 2
		acquire(t, p, r).Release()
		time.Sleep(5 * time.Second)
		if n := p.Stats()[0].Idle; n != 2 {
			t.Fatalf("%d idle, want min_idle 2", n)
		}
		p.Forget(func(k Key) bool { return k.Role == "a" })
		time.Sleep(forgetAfter + time.Second)
		if n := len(p.Stats()); n != 0 {
			t.Errorf("%d pools left", n)
		}
	})
}

func TestStats(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		r := request("a", 1)
		r.Session = "s"
		l := acquire(t, p, r)
		waits := ask(p, request("a", 1))
		time.Sleep(3 * time.Second)
		s := p.Stats()[0]
		if s.Active != 1 || s.Waiting != 1 || s.MaxWait != 3*time.Second || s.Leases != 1 || s.Dials != 1 {
			t.Errorf("got %+v", s)
		}
		i := p.Servers()[0]
		if i.State != Leased || i.Session != "s" || i.Map != "m" || i.Server != l.Server() {
			t.Errorf("got %+v", i)
		}
		l.Release()
		waits.get(t).Release()
		if s := p.Stats()[0]; s.WaitTime != 3*time.Second+w.dialTime || s.Waits != 2 {
			t.Errorf("waited %v in %d waits, want 3.005s in 2 (the first waited for its dial)", s.WaitTime, s.Waits)
		}
	})
}
