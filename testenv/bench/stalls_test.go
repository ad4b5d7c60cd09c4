package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What may have waited for a stall of the host, or for what had gathered meanwhile, is in no phase's times;
// a phase of which too little is left says so.
func TestStalledTransactionsAreLeftOut(t *testing.T) {
	began := time.Unix(1000, 0)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	// A transaction of 1 ms ends each ms; the host stalls from 100 to 110, so that those that end from 101 to 120 are out.
	var log strings.Builder
	for ms := 1; ms < 2000; ms++ {
		fmt.Fprintln(&log, 0, ms, 1000, 0, at(ms).Unix(), at(ms).Nanosecond()/1000)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "log.1"), []byte(log.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	stalls := []stall{{at(100), at(110)}}
	one, other := &phase{name: "one", from: at(0), to: at(1000)}, &phase{name: "other", from: at(1000), to: at(1990)}
	if err := readTimes(dir, []*phase{one, other}, stalls); err != nil {
		t.Fatal(err)
	}
	if one.out != 20 || one.stalls != 1 || one.stalled != 10*time.Millisecond || len(one.took) != 980 {
		t.Errorf("left out %d for %d stalls of %v, and %d counted; want 20, 1, 10 ms, 980", one.out, one.stalls, one.stalled, len(one.took))
	}
	if other.out != 0 || other.stalls != 0 {
		t.Errorf("the other phase has left out %d for %d stalls", other.out, other.stalls)
	}
	few := &phase{name: "few", from: at(0), to: at(1000)}
	if err := readTimes(dir, []*phase{few}, []stall{{at(0), at(400)}}); !errors.Is(err, errStalled) {
		t.Errorf("with a fifth left: %v, want to be told", err)
	}
}
