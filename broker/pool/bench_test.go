package pool

import (
	"context"
	"sync"
	"testing"
)

// ready is a server that is always well.
type ready struct{ _ int }

func (*ready) Healthy() bool { return true }
func (*ready) Close() error  { return nil }
func (*ready) Retire()       {}

func readyPools(tb testing.TB) *Pools[*ready] {
	p, err := New(Config[*ready]{Dial: func(context.Context, Key) (*ready, error) { return new(ready), nil }})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

func BenchmarkAcquireIdle(b *testing.B) {
	p := readyPools(b)
	r := capped("a", 20, 60)
	a := p.Asker(r)
	b.ReportAllocs()
	for b.Loop() {
		l, err := a.Acquire(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		l.Release()
	}
}

// BenchmarkHandOff is two goroutines on one connection: every Release hands it to the other one.
func BenchmarkHandOff(b *testing.B) { contend(b, 2, 1) }

// BenchmarkContended is 64 goroutines on 20 connections.
func BenchmarkContended(b *testing.B) { contend(b, 64, 20) }

func contend(b *testing.B, goroutines, size int) {
	p := readyPools(b)
	r := capped("a", size, 60)
	turns := make(chan struct{})
	var work sync.WaitGroup
	for range goroutines {
		work.Go(func() {
			a := p.Asker(r)
			for range turns {
				for range turnsEach {
					l, err := a.Acquire(context.Background())
					if err != nil {
						b.Error(err)
						return
					}
					l.Release()
				}
			}
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		for range goroutines {
			turns <- struct{}{}
		}
	}
	close(turns)
	work.Wait()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*goroutines*turnsEach), "ns/lease")
}

// turnsEach amortises what the benchmark itself does.
const turnsEach = 100

// The fast path allocates nothing.
func TestAcquireIdleAllocates(t *testing.T) {
	p := readyPools(t)
	r := capped("a", 20, 60)
	r.Session, r.Ended = "0192", func() bool { return false }
	ctx, a := t.Context(), p.Asker(r)
	n := testing.AllocsPerRun(1000, func() {
		l, err := a.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		l.Release()
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
