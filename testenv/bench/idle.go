package main

import (
	"context"
	"slices"
	"time"
)

// storm measures the seconds that n logins take, each with one query, 64 at a time; the clients stay
// until the last has come.
func storm(n int) work {
	return func(_ context.Context, w *world, p *proxy) (sample, error) {
		c, err := w.newCrowd(p, 2)
		if err != nil {
			return sample{}, err
		}
		defer c.leave()
		took, err := c.add(n, "bench")
		return sample{value: took.Seconds()}, err
	}
}

// rest is how long a proxy has before its memory is read: buffers go back, the collector runs.
const rest = 5 * time.Second

// idleMemory measures the proxy's memory per idle client, in KB.
func idleMemory(n int) work {
	return func(_ context.Context, w *world, p *proxy) (sample, error) {
		before, err := p.memory()
		if err != nil {
			return sample{}, err
		}
		c, err := w.newCrowd(p, 2)
		if err != nil {
			return sample{}, err
		}
		defer c.leave()
		if _, err := c.add(n, "bench"); err != nil {
			return sample{}, err
		}
		time.Sleep(rest)
		after, err := p.memory()
		return sample{value: float64(after-before) / float64(n)}, err
	}
}

// besideIdle measures what share of its throughput a proxy keeps for 16 active clients when n idle
// ones are there. Two of that proxy run at once, one with the idle clients and one without, and the
// active clients of either work by turns: what the machine does meanwhile, it does to both.
func besideIdle(n int) work {
	return func(ctx context.Context, w *world, p *proxy) (sample, error) {
		alone, err := w.start(ctx, p.name, p.kind)
		if err != nil {
			return sample{}, err
		}
		defer alone.stop()
		idle, err := w.newCrowd(p, 2)
		if err != nil {
			return sample{}, err
		}
		defer idle.leave()
		if _, err := idle.add(n, "bench"); err != nil {
			return sample{}, err
		}
		var active [2]*crowd
		for i, p := range []*proxy{alone, p} {
			if active[i], err = w.newCrowd(p, 1); err != nil {
				return sample{}, err
			}
			defer active[i].leave()
			if _, err := active[i].add(16, "bench"); err != nil {
				return sample{}, err
			}
		}
		time.Sleep(rest) // what the logins have left behind is collected
		ratio, err := besideRounds(active[0], active[1], 16, time.Duration(w.settings.seconds)*time.Second/4)
		return sample{value: ratio}, err
	}
}

// turns is how often the two of besideRounds work, each for a quarter of BENCH_SECONDS. A pair scatters by
// a tenth where a host takes processor time, so that the median of 25 is good for 2 %.
const turns = 25

// besideRounds is the median of beside's throughput divided by alone's, over pairs of turns, with so many
// queries at a time.
func besideRounds(alone, beside *crowd, lanes int, long time.Duration) (float64, error) {
	var ratios []float64
	for i := range turns {
		pair := []*crowd{alone, beside}
		if i%2 == 1 {
			slices.Reverse(pair)
		}
		queries := make(map[*crowd]float64)
		for _, c := range pair {
			a, err := c.work(lanes, long)
			if err != nil {
				return 0, err
			}
			queries[c] = float64(a.Queries) / a.Took.Seconds()
		}
		ratios = append(ratios, queries[beside]/queries[alone])
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2], nil
}
