package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// proxies are the two that are compared.
var proxies = [2]string{"PgBouncer", "pgsignet"}

// measure runs a row's work on both proxies in turn and compares the medians. A proxy that fails is
// not tried again in that row: the result says how, and what the other one came to.
func (w *world) measure(ctx context.Context, r row) *result {
	rounds := r.rounds
	if rounds == 0 {
		rounds = w.settings.rounds
	}
	var samples [2][]sample
	var failed [2]error
	for range rounds {
		for i, name := range proxies {
			if failed[i] != nil || r.alone && name != "pgsignet" {
				continue
			}
			var s sample
			failed[i] = w.with(ctx, name, r.broker, func(p *proxy) (err error) {
				s, err = r.work(ctx, w, p)
				return err
			})
			if failed[i] == nil {
				samples[i] = append(samples[i], s)
			}
		}
	}
	res := compare(r, samples[0], samples[1])
	if err := errors.Join(failed[:]...); err != nil {
		res.Pass, res.Error = false, err.Error()
	}
	return res
}

// with runs one of the proxies, in one of its configurations, for what do does to it.
func (w *world) with(ctx context.Context, name, kind string, do func(*proxy) error) error {
	if kind == "" {
		kind = "plain"
	}
	p, err := w.start(ctx, name, kind)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := do(p); err != nil {
		return fmt.Errorf("%s: %w; its log ends in %q", name, err, p.lastWords())
	}
	return nil
}

func compare(r row, theirs, ours []sample) *result {
	res := &result{
		Name: r.name, Title: r.title, Unit: r.unit, Bar: r.value, CPUBar: r.cpu, OwnBar: r.own, Most: r.most,
		PgBouncer: median(theirs, func(s sample) float64 { return s.value }),
		Pgsignet:  median(ours, func(s sample) float64 { return s.value }),
	}
	cpu := func(s sample) float64 { return float64(s.cpu.Nanoseconds()) / 1000 }
	res.PgBouncerCPU, res.PgsignetCPU = median(theirs, cpu), median(ours, cpu)
	if res.PgBouncer > 0 {
		res.Ratio = res.Pgsignet / res.PgBouncer
	}
	res.Pass = r.value == 0 || (r.lower && res.Ratio <= r.value) || (!r.lower && res.Ratio >= r.value)
	res.Pass = res.Pass && res.Pgsignet >= r.own && (r.most == 0 || res.Pgsignet <= r.most)
	if res.PgBouncerCPU > 0 {
		res.CPURatio = res.PgsignetCPU / res.PgBouncerCPU
		res.Pass = res.Pass && (r.cpu == 0 || res.CPURatio <= r.cpu)
	}
	return res
}

// median is that of the values; 0 when there is none.
func median(samples []sample, of func(sample) float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

var (
	tpsLine       = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	latencyLine   = regexp.MustCompile(`(?m)^latency average = ([0-9.]+) ms`)
	processedLine = regexp.MustCompile(`(?m)^number of transactions actually processed: ([0-9]+)`)
)

// pgbench measures transactions per second, and the proxy's processor time for each.
func pgbench(args ...string) work {
	return func(ctx context.Context, w *world, p *proxy) (sample, error) {
		before := p.cpu()
		out, err := w.pgbench(ctx, p, args)
		if err != nil {
			return sample{}, err
		}
		used := p.cpu() - before
		tps, err := number(tpsLine, out)
		if err != nil {
			return sample{}, err
		}
		n, err := number(processedLine, out)
		if err != nil || n == 0 {
			return sample{}, fmt.Errorf("no transactions:\n%s", out)
		}
		return sample{value: tps, cpu: used / time.Duration(n)}, nil
	}
}

// latency measures the mean time of a transaction in milliseconds.
func latency(args ...string) work {
	return func(ctx context.Context, w *world, p *proxy) (sample, error) {
		out, err := w.pgbench(ctx, p, args)
		if err != nil {
			return sample{}, err
		}
		ms, err := number(latencyLine, out)
		return sample{value: ms}, err
	}
}

// pgbenchGrace is how much longer than asked for pgbench may run: one that waits for ever fails.
const pgbenchGrace = 30 * time.Second

func (w *world) pgbench(ctx context.Context, p *proxy, args []string) (string, error) {
	args = append([]string{"-n", "-T", strconv.Itoa(w.settings.seconds)}, args...)
	ctx, stop := context.WithTimeout(ctx, time.Duration(w.settings.seconds)*time.Second+pgbenchGrace)
	defer stop()
	cmd := exec.CommandContext(ctx, filepath.Join(w.pg.Install.Bin, "pgbench"), append(args, "bench")...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "PGHOST=localhost", "PGHOSTADDR=127.0.0.1", "PGPORT="+strconv.Itoa(p.port), "PGUSER=bench",
		"PGSSLMODE=verify-full", "PGSSLROOTCERT="+w.file("servers-ca.crt"), "PGSSLCERT="+w.file("bench.crt"),
		"PGSSLKEY="+w.file("bench.key"), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out), nil
}

func number(re *regexp.Regexp, out string) (float64, error) {
	m := re.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("pgbench printed no %s:\n%s", re, out)
	}
	return strconv.ParseFloat(m[1], 64)
}
