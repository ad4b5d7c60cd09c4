package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// leastHeap is how large the heap may grow before garbage is collected at all, in bytes. With few clients a
// broker's heap is 3 MB, and Go would collect for every 2 MB more: for every thirty logins, each time at
// the price of one.
const leastHeap = 16 << 20

// floodGarbage is how much garbage may lie in the heap in a flood of handshakes, in bytes. Each leaves some
// 50 KB, and a collection takes a processor from sessions for some 30 ms. In a storm of logins that are finished
// it may not: what they keep would lie between the garbage, and 5 000 idle clients take 2 KB more each.
const floodGarbage = 128 << 20

// usualPercent is Go's own GOGC. mostPercent and floodMost are those by which an empty heap grows to leastHeap
// and floodGarbage: Go lets it grow to 4 MiB times GOGC / 100.
const (
	usualPercent = 100
	mostPercent  = leastHeap / (4 << 20) * 100
	floodMost    = floodGarbage / (4 << 20) * 100
)

// collector sets GOGC anew after every collection, so that a small heap may grow to leastHeap, or by
// floodGarbage in a flood. Any other is collected as ever; so is every heap if GOGC says when.
type collector struct {
	flooded func() bool

	mu      sync.Mutex // guards what follows
	percent int        // in force
	stopped bool
}

// startCollector starts a collector, and stop gives GOGC back. It has no goroutine of its own.
func startCollector(flooded func() bool) (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	c := &collector{flooded: flooded, percent: usualPercent}
	c.collected()
	return c.stop
}

func (c *collector) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	debug.SetGCPercent(usualPercent)
}

// cycle is garbage at once: the collection that finds it has just ended. It is no tiny object, which the
// runtime may keep for its neighbours.
type cycle struct{ _ *cycle }

// collected is called after every collection.
func (c *collector) collected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	live, roots := readReachable()
	p := percentFor(live, roots)
	if c.flooded() {
		p = max(p, floodPercent(live, roots))
	}
	if p < c.percent || p > c.percent+c.percent/8 { // to set it stops the world
		debug.SetGCPercent(p)
		c.percent = p
	}
	runtime.AddCleanup(new(cycle), (*collector).collected, c)
}

// percentFor is the GOGC by which a heap with live bytes in use grows to leastHeap. Go allows a heap GOGC
// per cent of what is in use and of the roots, which are stacks and globals.
func percentFor(live, roots uint64) int {
	if live >= leastHeap/2 {
		return usualPercent
	}
	return max(usualPercent, min(mostPercent, int((leastHeap-live)*100/max(1, live+roots))))
}

// floodPercent is the GOGC by which a heap may grow by floodGarbage.
func floodPercent(live, roots uint64) int {
	return int(min(floodMost, floodGarbage*100/max(1, live+roots)))
}

// readReachable is what the last collection found in use of the heap, and in roots, in bytes.
func readReachable() (live, roots uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(s)
	for i := range s {
		if s[i].Value.Kind() != metrics.KindUint64 {
			return leastHeap, 0 // not of this version of Go: leave it as it is
		}
	}
	return s[0].Value.Uint64(), s[1].Value.Uint64() + s[2].Value.Uint64()
}
