package main

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestMemoryIsGivenBackWhenQuietAndWasted(t *testing.T) {
	const mb = 1 << 20
	for _, tt := range []struct {
		name                          string
		live, ever, before, atReturns uint64 // bytes: in use; allocated by now, one tick ago, at the last return
		want                          bool
	}{
		{"after a storm", 50 * mb, 90 * mb, 90 * mb, 4 * mb, true},
		{"in a storm", 50 * mb, 90 * mb, 70 * mb, 4 * mb, false},
		{"while a few log in all the time", 50 * mb, 90 * mb, 84 * mb, 4 * mb, false},
		{"and have for long", 50 * mb, 104 * mb, 98 * mb, 4 * mb, true},
		{"too little", 4 * mb, 19 * mb, 19 * mb, 4 * mb, false},
		{"little beside what is in use", 400 * mb, 190 * mb, 190 * mb, 4 * mb, false},
		{"returned already", 50 * mb, 90 * mb, 90 * mb, 90 * mb, false},
	} {
		now := heap{live: tt.live, allocated: tt.ever}
		if got := now.wasteful(heap{allocated: tt.before}, heap{allocated: tt.atReturns}); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestGiveBackMemoryReturnsGarbage(t *testing.T) {
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	forced := before.NumForcedGC
	ctx, stop := context.WithCancel(context.Background())
	var g sync.WaitGroup
	g.Go(func() { giveBackMemory(ctx, func() bool { return false }) })
	defer g.Wait()
	defer stop()
	garbage := 0
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if garbage < 64<<20 {
			garbage += len(make([]byte, 1<<20)) // over three seconds, so that some comes after the first look
			continue
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.HeapReleased >= m.HeapIdle*9/10 && m.NumForcedGC > forced {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("64 MiB of garbage, and within 30 s %d of %d idle bytes are returned", m.HeapReleased, m.HeapIdle)
		}
	}
}
