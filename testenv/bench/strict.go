package main

import (
	"context"
	"time"
)

// ofBestEffort measures what share of its throughput under best effort a proxy keeps when n clients' statements
// wait for their records. Two run at once, with their records on one disk, and the clients of either work by turns.
func ofBestEffort(n int) work {
	return func(ctx context.Context, w *world, strict *proxy) (sample, error) {
		best, err := w.start(ctx, strict.name, "audited")
		if err != nil {
			return sample{}, err
		}
		defer best.stop()
		var active [2]*crowd
		for i, p := range []*proxy{best, strict} {
			if active[i], err = w.newCrowd(p, 1); err != nil {
				return sample{}, err
			}
			defer active[i].leave()
			if _, err := active[i].add(n, "bench"); err != nil {
				return sample{}, err
			}
		}
		time.Sleep(rest)
		ratio, err := besideRounds(active[0], active[1], n, time.Duration(w.settings.seconds)*time.Second/4)
		return sample{value: ratio}, err
	}
}
