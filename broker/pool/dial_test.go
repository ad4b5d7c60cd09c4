package pool

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// refusal is a dial error with an SQLSTATE, as upstream's are.
type refusal string

func (r refusal) Error() string    { return "refused " + string(r) }
func (r refusal) SQLState() string { return string(r) }

// W69: a refusal reaches all that wait for that pool, and nobody else.
func TestW69DialErrorReachesWaiters(t *testing.T) {
	for _, code := range []string{"28000", "3D000", "08006", "53300"} {
		t.Run(code, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
				good := acquire(t, p, request("good", 1))
				w.fail(refusal(code))
				queue := []*asked{ask(p, request("bad", 4)), ask(p, request("bad", 4)), ask(p, request("bad", 4))}
				waits := ask(p, request("good", 1))
				time.Sleep(10 * time.Millisecond)
				for i, a := range queue {
					if a.waits() || !errors.Is(a.err, refusal(code)) {
						t.Errorf("waiter %d: %v, want the refusal", i, a.err)
					}
				}
				if !waits.waits() {
					t.Errorf("a waiter of another pool was answered: %v", waits.err)
				}
				good.Release()
				waits.get(t).Release()
			})
		})
	}
}

// W69: while the server starts up, the queue waits and one dial at a time is retried.
func TestW69StartingServerIsRetried(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		w.fail(refusal("57P03"))
		queue := []*asked{ask(p, request("a", 9)), ask(p, request("a", 9)), ask(p, request("a", 9))}
		time.Sleep(10 * time.Millisecond)
		first := w.dialed()
		time.Sleep(30 * time.Second)
		if n := w.dialed() - first; n < 25 || n > 70 {
			t.Errorf("%d dials in 30 s, want about one a second", n)
		}
		w.fail(nil)
		time.Sleep(longestPause + 20*time.Millisecond)
		for _, a := range queue {
			a.get(t).Release()
		}
	})
}

// A waiter whose time is up while the server starts is told that, not that the queue is long.
func TestTimeoutWhileStarting(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		w.fail(refusal("57P03"))
		if _, err := p.Asker(request("a", 1)).Acquire(t.Context()); !errors.Is(err, refusal("57P03")) {
			t.Errorf("got %v, want 57P03", err)
		}
	})
}

// A full server is no reason to refuse those whom the pool can serve soon.
func TestFullServerKeepsQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		l := acquire(t, p, request("a", 5))
		w.fail(refusal("53300"))
		a := ask(p, request("a", 5))
		time.Sleep(100 * time.Millisecond)
		if !a.waits() {
			t.Fatalf("got %v, want to wait for the connection that is out", a.err)
		}
		l.Release()
		l = a.get(t)
		b := ask(p, request("a", 5))
		time.Sleep(100 * time.Millisecond)
		l.Destroy() // none is left that could come back
		time.Sleep(3 * longestPause)
		if b.waits() || !errors.Is(b.err, refusal("53300")) {
			t.Errorf("got %v, want 53300", b.err)
		}
	})
}

// After a failure one dial at a time, with pauses; after a success as many as are needed.
func TestOneDialAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		w.fail(refusal("08006"))
		<-ask(p, request("a", 9)).done
		w.fail(nil)
		w.dialTime = time.Second
		before := w.dialed()
		queue := []*asked{ask(p, request("a", 9)), ask(p, request("a", 9)), ask(p, request("a", 9))}
		time.Sleep(500 * time.Millisecond)
		if n := w.dialed() - before; n != 1 {
			t.Errorf("%d dials against a server that failed, want 1", n)
		}
		time.Sleep(time.Second)
		if n := w.dialed() - before; n != 3 {
			t.Errorf("%d dials after it answered, want 3", n)
		}
		for _, a := range queue {
			a.get(t).Release()
		}
	})
}

// One failure among dials under way speaks for nobody; the last does.
func TestLastDialSpeaks(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		w.fail(refusal("08006"))
		a := ask(p, request("a", 9))
		time.Sleep(2 * time.Millisecond)
		b := ask(p, request("a", 9))
		time.Sleep(4 * time.Millisecond) // the first dial has failed, the second not yet
		w.fail(nil)
		if !a.waits() || !b.waits() {
			t.Fatal("a waiter was answered while a dial was under way")
		}
		l := a.get(t)
		synctest.Wait()
		l.Release()
		b.get(t).Release()
	})
}

func TestPause(t *testing.T) {
	for n := 1; n < 40; n++ {
		if d := pause(n); d < firstPause/2 || d > longestPause {
			t.Errorf("pause(%d) = %v", n, d)
		}
	}
}
