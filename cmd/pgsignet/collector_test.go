package main

import (
	"os"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"
)

func TestPercentForASmallHeap(t *testing.T) {
	const mb = 1 << 20
	for _, tt := range []struct {
		name        string
		live, roots uint64 // bytes
		want        int
	}{
		{"before the first collection", 0, 0, 400},
		{"empty", mb, mb / 2, 400},
		{"small", 3 * mb, mb, 325},
		{"small with many stacks", 3 * mb, 10 * mb, 100},
		{"half of it in use", 8 * mb, 0, 100},
		{"large", 1000 * mb, 10 * mb, 100},
	} {
		if got := percentFor(tt.live, tt.roots); got != tt.want {
			t.Errorf("%s: %d %%, want %d", tt.name, got, tt.want)
		}
	}
}

// gogc is the GOGC in force.
func gogc() uint64 {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func awaitGOGC(t *testing.T, when string, is func(uint64) bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(gogc()); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: GOGC is %d", when, gogc())
		}
		runtime.GC()
	}
}

func TestCollectorFollowsTheHeap(t *testing.T) {
	if os.Getenv("GOGC") != "" {
		t.Skip("GOGC is set")
	}
	usual := func(p uint64) bool { return p == usualPercent }
	stop := startCollector(func() bool { return false })
	defer stop()
	awaitGOGC(t, "with a small heap", func(p uint64) bool { return p > usualPercent })
	large := make([]byte, 2*leastHeap)
	awaitGOGC(t, "with a large heap", usual)
	runtime.KeepAlive(large)
	large = nil
	awaitGOGC(t, "with a small heap again", func(p uint64) bool { return p > usualPercent })
	stop()
	for range 3 {
		runtime.GC()
	}
	awaitGOGC(t, "stopped", usual)
}

// In a flood garbage may lie, and never so much that memory runs out.
func TestCollectorInAFlood(t *testing.T) {
	if os.Getenv("GOGC") != "" {
		t.Skip("GOGC is set")
	}
	var flooded atomic.Bool
	stop := startCollector(flooded.Load)
	defer stop()
	large := make([]byte, 2*leastHeap)
	awaitGOGC(t, "with a large heap", func(p uint64) bool { return p == usualPercent })
	flooded.Store(true)
	awaitGOGC(t, "in a flood", func(p uint64) bool { return p > 2*usualPercent })
	flooded.Store(false)
	awaitGOGC(t, "without it", func(p uint64) bool { return p == usualPercent })
	runtime.KeepAlive(large)
	const mb = 1 << 20
	for _, tt := range []struct {
		live, roots uint64
		want        int
	}{{0, 0, 3200}, {4 * mb, 0, 3200}, {32 * mb, 0, 400}, {40 * mb, 24 * mb, 200}, {4096 * mb, 0, 3}} {
		if got := floodPercent(tt.live, tt.roots); got != tt.want {
			t.Errorf("%d MB: %d %%, want %d", (tt.live+tt.roots)/mb, got, tt.want)
		}
	}
}

func TestCollectorLeavesGOGCAlone(t *testing.T) {
	t.Setenv("GOGC", "150")
	before := gogc()
	stop := startCollector(func() bool { return false })
	defer stop()
	if got := gogc(); got != before {
		t.Errorf("GOGC is %d, was %d: it is the administrator's", got, before)
	}
}
