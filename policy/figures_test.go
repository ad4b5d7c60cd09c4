//go:build !race

package policy_test

import (
	"testing"
	"time"
)

// TestDecideFigures holds Decide over 1 000 maps to 20 allocations, and to ten times its 50 µs.
func TestDecideFigures(t *testing.T) {
	for _, w := range workloads {
		t.Run(w.name, func(t *testing.T) {
			p, r := policyOf(t, w, 1000), w.login(1000)
			if got := testing.AllocsPerRun(100, func() {
				if _, err := p.Decide(r); err != nil {
					t.Fatal(err)
				}
			}); got > 20 {
				t.Errorf("%v allocations, want at most 20", got)
			}
			best := time.Hour
			for range 20 {
				start := time.Now()
				p.Decide(r)
				best = min(best, time.Since(start))
			}
			if best > 500*time.Microsecond {
				t.Errorf("best of 20 decisions took %v, want at most 500µs", best)
			}
		})
	}
}

// TestCompileFigure holds the load of 10 000 maps to ten times its 2 s.
func TestCompileFigure(t *testing.T) {
	for _, w := range workloads {
		start := time.Now()
		policyOf(t, w, 10_000)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: 10 000 maps took %v, want at most 20s", w.name, took)
		}
	}
}
