package pool

import (
	"context"
	"runtime"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/race"
)

// A connection that goes from its lessee straight to one who waits costs no allocation either: neither
// to wait for it nor to hand it over.
func TestHandOffAllocates(t *testing.T) {
	if race.Enabled {
		t.Skip("allocations are counted in the pass without -race, where a sync.Pool keeps what it is given")
	}
	p := readyPools(t)
	r := capped("a", 1, 1)
	ctx := context.Background()
	held, err := p.Asker(r).Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	next, ask := make(chan Lease[*ready]), make(chan struct{})
	defer close(ask)
	a := p.Asker(r)
	go func() { // ends with ask
		for range ask {
			l, err := a.Acquire(ctx)
			if err != nil {
				t.Error(err)
			}
			next <- l
		}
	}()
	waits := p.Stats()[0].Waits
	n := testing.AllocsPerRun(1000, func() {
		ask <- struct{}{}
		for !anyoneWaits(p) {
			runtime.Gosched()
		}
		held.Release()
		held = <-next
	})
	held.Release()
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	if got := p.Stats()[0].Waits - waits; got < 1000 {
		t.Errorf("%d waited, want every one of them", got)
	}
}

func anyoneWaits(p *Pools[*ready]) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pl := range p.pools {
		if pl.waiters.len() > 0 {
			return true
		}
	}
	return false
}
