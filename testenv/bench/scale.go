package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// growth is an experiment that tells how a proxy's figures grow with its clients or its roles.
type growth struct {
	name  string // as BENCH= knows it
	kind  string // of the proxies' configuration
	steps []int  // how many there are of what grows
	run   func(w *world, p *proxy, steps []int, note func(point)) error

	Title, Of string
	Points    map[string][]point // by proxy
	Errors    []string
}

// point is what a proxy has come to at one step.
type point struct {
	N       int           // of what grows
	Clients int           // in all
	KB      int64         // resident memory at rest
	Each    float64       // KB of it for each client beyond the memory without any
	Rest    float64       // share of one processor that the proxy uses when nobody works
	Logins  float64       // a second, while this step's clients came; 0: none came
	Rate    float64       // queries a second
	CPU     time.Duration // of the proxy, for each query
	Middle  time.Duration // of a query: the median
	P99     time.Duration
}

// Who works while the others idle, and for how many of all roles' clients a query is under way at once.
const (
	activeClients = 200
	roleLanes     = 16
)

// growths are made anew for each run of the bench: they carry its figures.
func growths() []*growth {
	return []*growth{
		{name: "scaleidle", kind: "plain", steps: []int{0, 1000, 2000, 5000, 10_000}, run: growIdle,
			Title: fmt.Sprintf("%d active clients beside idle ones", activeClients), Of: "idle clients"},
		{name: "scaleroles", kind: "roles", steps: []int{10, 100, maxRoles}, run: growRoles,
			Title: fmt.Sprintf("Roles, each with a pool of its own and 2 clients; %d queries at a time, over all roles in turn", roleLanes), Of: "roles"},
	}
}

// grow has both proxies go through the experiment. What fails ends it for that proxy alone.
func (w *world) grow(ctx context.Context, g *growth) {
	g.Points = make(map[string][]point)
	for _, name := range proxies {
		err := w.with(ctx, name, g.kind, func(p *proxy) error {
			return g.run(w, p, g.steps, func(at point) { g.Points[name] = append(g.Points[name], at) })
		})
		if err != nil {
			g.Errors = append(g.Errors, oneLine(err.Error()))
		}
	}
}

// growIdle has idle clients come, step by step, beside clients that are there from the beginning and
// work at the end of each step.
func growIdle(w *world, p *proxy, steps []int, note func(point)) error {
	empty, err := p.memory()
	if err != nil {
		return err
	}
	active, err := w.newCrowd(p, 1)
	if err != nil {
		return err
	}
	defer active.leave()
	if _, err := active.add(activeClients, "bench"); err != nil {
		return err
	}
	idle, err := w.newCrowd(p, 2)
	if err != nil {
		return err
	}
	defer idle.leave()
	for _, n := range steps {
		at := point{N: n, Clients: n + activeClients}
		if err := idle.come(n, &at, "bench"); err != nil {
			return err
		}
		if err := w.restAndWork(p, active, activeClients, empty, &at); err != nil {
			return err
		}
		note(at)
	}
	return nil
}

// growRoles has two clients of each role come, one from each driver; all of them work.
func growRoles(w *world, p *proxy, steps []int, note func(point)) error {
	empty, err := p.memory()
	if err != nil {
		return err
	}
	c, err := w.newCrowd(p, 2)
	if err != nil {
		return err
	}
	defer c.leave()
	for _, n := range steps {
		at := point{N: n, Clients: 2 * n}
		if err := c.come(2*n, &at, roleNames()[c.n/2:n]...); err != nil {
			return err
		}
		if err := w.restAndWork(p, c, roleLanes, empty, &at); err != nil {
			return err
		}
		note(at)
	}
	return nil
}

// come logs clients in until there are n.
func (c *crowd) come(n int, at *point, users ...string) error {
	more := n - c.n
	if more == 0 {
		return nil
	}
	took, err := c.add(more, users...)
	at.Logins = float64(more) / took.Seconds()
	return err
}

// restWatched is for how long a proxy's processor time at rest is counted, which comes in ticks of 10 ms.
const restWatched = 3 * time.Second

// restAndWork reads the proxy's memory and processor time at rest, then has clients work, BENCH_ROUNDS times, and notes the
// median round.
func (w *world) restAndWork(p *proxy, c *crowd, lanes int, empty int64, at *point) (err error) {
	time.Sleep(rest)
	if at.KB, err = p.memory(); err != nil {
		return err
	}
	at.Each = float64(at.KB-empty) / float64(at.Clients)
	at.Rest = p.load(restWatched)
	var rounds []sample
	var middle, p99 []sample
	for range w.settings.rounds {
		before := p.cpu()
		a, err := c.work(lanes, time.Duration(w.settings.seconds)*time.Second)
		if err != nil {
			return err
		}
		used := p.cpu() - before
		rounds = append(rounds, sample{value: float64(a.Queries) / a.Took.Seconds(), cpu: used / time.Duration(max(1, a.Queries))})
		middle, p99 = append(middle, sample{cpu: a.Middle}), append(p99, sample{cpu: a.P99})
	}
	value := func(s sample) float64 { return s.value }
	cpu := func(s sample) float64 { return float64(s.cpu) }
	at.Rate, at.CPU = median(rounds, value), time.Duration(median(rounds, cpu))
	at.Middle, at.P99 = time.Duration(median(middle, cpu)), time.Duration(median(p99, cpu))
	return nil
}

// table is the experiment's figures in Markdown.
func (g *growth) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**\n\n", g.Title)
	fmt.Fprintf(&b, "| %s | | memory | for each client | processor at rest | logins | queries | cpu of the proxy | half of the queries within | 99 %% within |\n", g.Of)
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for i, n := range g.steps {
		for _, name := range proxies {
			if i < len(g.Points[name]) {
				b.WriteString(g.Points[name][i].line(name))
			} else {
				fmt.Fprintf(&b, "| %d | %s | FAILED | | | | | | | |\n", n, name)
			}
		}
	}
	for _, text := range g.Errors {
		fmt.Fprintf(&b, "\nFAILED: %s\n", text)
	}
	return b.String()
}

func (at point) line(proxy string) string {
	logins := ""
	if at.Logins > 0 {
		logins = fmt.Sprintf("%.0f/s", at.Logins)
	}
	return fmt.Sprintf("| %d | %s | %.1f MB | %.1f KB | %.1f %% | %s | %.0f/s | %.1f µs | %.2f ms | %.2f ms |\n",
		at.N, proxy, float64(at.KB)/1024, at.Each, 100*at.Rest, logins, at.Rate, micro(at.CPU), milli(at.Middle), milli(at.P99))
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
