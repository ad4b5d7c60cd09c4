package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// giveBackEvery is how often the process looks whether it holds memory that it does not need.
const giveBackEvery = 2 * time.Second

// giveBackMemory returns memory to the system after a storm of logins, until ctx ends. A handshake
// leaves some 50 KB of garbage; thousands at once make a heap that is mostly that, and clients that
// are idle allocate nothing that would have it collected. In a flood there is use for all of it.
func giveBackMemory(ctx context.Context, flooded func() bool) {
	tick := time.NewTicker(giveBackEvery)
	defer tick.Stop()
	last := readHeap()
	returned := last
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := readHeap()
		if !flooded() && now.wasteful(last, returned) {
			runtime.GC() // one collection halves a stack once, and leaves what lies in a sync.Pool to the next
			debug.FreeOSMemory()
			now = readHeap()
			returned = now
		}
		last = now
	}
}

// heap is the state of the Go heap, in bytes.
type heap struct {
	live      uint64 // reachable at the last collection
	allocated uint64 // ever
}

func readHeap() heap {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	value := func(i int) uint64 {
		if s[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return s[i].Value.Uint64()
	}
	return heap{live: value(0), allocated: value(1)}
}

// Unless leastWaste was allocated since memory was last returned it is not worth it, in bytes; nor is it
// while the last giveBackEvery has more than one part in stormParts of that: the process would need the memory
// again, and be stopped for it again and again. What never ceases is returned every stormParts looks.
const (
	leastWaste = 16 << 20
	stormParts = 16
)

// wasteful says whether collecting and returning memory is worth its time: the process is quiet, and
// since returned it has allocated much, and at least half of what is in use. That much the collector
// itself would have gone through once or twice. last is the state one tick before.
func (h heap) wasteful(last, returned heap) bool {
	wasted := h.allocated - returned.allocated
	return wasted >= max(leastWaste, h.live/2) && h.allocated-last.allocated <= wasted/stormParts
}
