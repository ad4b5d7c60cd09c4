package pool

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestT80RetireReachesDials: what is being dialled when new certificates are in force was made with
// the old ones, and is recycled like the connections that exist.
func TestT80RetireReachesDials(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		r := request("a", 2)
		r.Limits.MaxLifetime = time.Hour
		a := ask(p, r)
		if n := p.Retire(time.Minute, func(ServerInfo[*server]) bool { return true }); n != 1 {
			t.Fatalf("retired %d, want the dial", n)
		}
		a.get(t).Release()
		time.Sleep(time.Minute + 2*sweepEvery)
		if n := p.Stats()[0].Idle; n != 0 {
			t.Errorf("%d connections are left a minute after all were retired within one", n)
		}
	})
}

// TestUnusedKeysAreForgotten: a client that asks for ever new names, or comes as ever new replication
// sessions, does not fill the memory with their records.
func TestUnusedKeysAreForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pools[*server], w *world) {
		w.fail(errors.New("no such database"))
		try := func(i int, replication bool) {
			r := request("a", 1)
			r.Key.Database, r.Key.Replication = fmt.Sprint("x", i), replication
			if _, err := p.Asker(r).Acquire(t.Context()); err == nil {
				t.Fatal("got a connection")
			}
		}
		try(0, true)
		try(1, false)
		time.Sleep(2 * sweepEvery)
		if n := len(p.Stats()); n != 1 {
			t.Errorf("%d keys are known, want the one that is no walsender's", n)
		}
		for i := range maxForgotten + 1 {
			try(i, false)
		}
		time.Sleep(2 * sweepEvery)
		if n := len(p.Stats()); n != 0 {
			t.Errorf("%d keys are known, want none", n)
		}
	})
}
