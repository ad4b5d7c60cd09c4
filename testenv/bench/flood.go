package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// The load of the clients that a flood shall not hurt: 16 of them, and this many transactions a second in
// all, so that without a flood there is room on the machine. pgbench times each from the moment that it
// was due.
const (
	floodClients = "16"
	floodPace    = "1000"
)

// floodTimes is how many times as many handshakes come as a processor can compute.
const floodTimes = 3

// A phase of an attack is measured once it has gone on for floodLead, and the next begins floodRest after
// its end.
const (
	floodStart = 2 * time.Second
	floodLead  = time.Second
	floodRest  = 2 * time.Second
)

// phase is a part of one run of pgbench, and the times that its transactions took, the shortest first.
type phase struct {
	name     string
	port     int // attacked; 0: none
	from, to time.Time
	took     []time.Duration
	attack   attackReport
	share    float64 // processors that the proxy has used
	stalls   int     // of the host
	stalled  time.Duration
	out      int // transactions left out for them
}

// floodLeast is how many transactions a phase needs for a p99, and floodTries how often they are looked for.
const (
	floodLeast = 500
	floodTries = 3
)

var errStalled = errors.New("the host of this machine has held too many up")

// flooded measures by what factor the p99 of established clients grows while others send three times as
// many first messages of a handshake as a processor can answer, and then say nothing. That machine is
// the attackers', too: the phase before has the same attack on a process that only accepts and closes.
// Transactions during which the machine's host held a processor back are left out of all phases.
func flooded(ctx context.Context, w *world, p *proxy) (sample, error) {
	hello, err := recordHello()
	if err != nil {
		return sample{}, err
	}
	capacity, err := p.capacity(hello)
	if err != nil {
		return sample{}, err
	}
	other, err := listenOnly()
	if err != nil {
		return sample{}, err
	}
	var phases []*phase
	for range floodTries {
		phases = []*phase{{name: "quiet"}, {name: "another process is attacked", port: other.port}, {name: "attacked", port: p.port}}
		if err = w.attackInPhases(ctx, p, phases, floodTimes*capacity, hello); !errors.Is(err, errStalled) {
			break
		}
		fmt.Fprintln(os.Stderr, err)
	}
	if _, stopped := other.stop(); err != nil || stopped != nil {
		return sample{}, errors.Join(err, stopped)
	}
	fmt.Fprintf(os.Stderr, "%s: a processor begins %d handshakes a second\n", p.name, capacity)
	for _, f := range phases {
		fmt.Fprintln(os.Stderr, f)
	}
	return sample{value: float64(phases[2].at(99)) / float64(phases[0].at(99))}, nil
}

func (f *phase) at(percent int) time.Duration { return f.took[len(f.took)*percent/100] }

func (f *phase) String() string {
	return fmt.Sprintf("  %s: p50 %v, p90 %v, p99 %v of %d transactions, %d left out for %d stalls of the host of %v; the proxy uses %.2f processors%s",
		f.name, f.at(50), f.at(90), f.at(99), len(f.took), f.out, f.stalls, f.stalled.Round(time.Millisecond), f.share, f.attack)
}

// attackInPhases runs pgbench over all phases, one after the other.
func (w *world) attackInPhases(ctx context.Context, p *proxy, phases []*phase, perSecond int, hello []byte) error {
	dir, err := os.MkdirTemp(w.dir, "times")
	if err != nil {
		return err
	}
	each := floodLead + time.Duration(w.settings.seconds)*time.Second + floodRest
	longer := *w
	longer.settings.seconds = int((floodStart + time.Duration(len(phases))*each) / time.Second)
	watch, err := watchStalls()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		_, err := longer.pgbench(ctx, p, []string{"-S", "-M", "prepared", "-c", floodClients, "-R", floodPace,
			"-l", "--log-prefix", filepath.Join(dir, "log")})
		return err
	})
	g.Go(func() error {
		time.Sleep(floodStart) // it has connected and prepared its statement
		for _, f := range phases {
			if err := w.runPhase(p, f, perSecond, hello); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			time.Sleep(floodRest)
		}
		return nil
	})
	err = g.Wait()
	stalls, stopped := watch.stalls()
	if err := errors.Join(err, stopped); err != nil {
		return err
	}
	return readTimes(dir, phases, stalls)
}

func (w *world) runPhase(p *proxy, f *phase, perSecond int, hello []byte) error {
	if f.port != 0 {
		a, err := attack(f.port, perSecond, hello)
		if err != nil {
			return err
		}
		defer func() { f.attack, _ = a.stop() }()
	}
	time.Sleep(floodLead)
	before := p.cpu()
	f.from = time.Now()
	time.Sleep(time.Duration(w.settings.seconds) * time.Second)
	f.to = time.Now()
	f.share = float64(p.cpu()-before) / float64(f.to.Sub(f.from))
	return nil
}

// readTimes shares out the log of pgbench -l: client, number, microseconds, script, and the second and
// microsecond when it ended. What may have waited for a stall of the host is left out of every phase.
func readTimes(dir string, phases []*phase, stalls []stall) error {
	files, err := filepath.Glob(filepath.Join(dir, "log.*"))
	if err != nil {
		return err
	}
	for _, f := range phases {
		f.noteStalls(stalls)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			var client, n, micros, script, sec, usec int64
			if _, err := fmt.Sscan(line, &client, &n, &micros, &script, &sec, &usec); err != nil {
				return fmt.Errorf("%s: %q: %w", name, line, err)
			}
			end := time.Unix(sec, usec*1000)
			for _, f := range phases {
				f.add(end, time.Duration(micros)*time.Microsecond, stalls)
			}
		}
	}
	for _, f := range phases {
		if len(f.took) < floodLeast {
			return fmt.Errorf("%s: %d transactions are left, %d stalls took %v: %w", f.name, len(f.took), f.stalls, f.stalled, errStalled)
		}
		slices.Sort(f.took)
	}
	return nil
}

func (f *phase) noteStalls(stalls []stall) {
	for _, s := range stalls {
		if s.to.After(f.from) && s.to.Before(f.to) {
			f.stalls++
			f.stalled += s.to.Sub(s.from)
		}
	}
}

// add counts a transaction that ended in this phase.
func (f *phase) add(end time.Time, took time.Duration, stalls []stall) {
	if end.Before(f.from) || end.After(f.to) {
		return
	}
	if slices.ContainsFunc(stalls, func(s stall) bool { return s.hits(end.Add(-took), end) }) {
		f.out++
		return
	}
	f.took = append(f.took, took)
}

// recordHello is the first message of a direct TLS handshake. To send it anew costs nothing; to answer
// it costs a key exchange and a signature.
func recordHello() ([]byte, error) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go tls.Client(near, &tls.Config{ServerName: "localhost", NextProtos: []string{"postgresql"}}).Handshake() // ends with near
	buf := make([]byte, 8<<10)
	n, err := far.Read(buf)
	return buf[:n], err
}

// capacity is how many handshakes a second one processor begins to answer, when they come one by one.
func (p *proxy) capacity(hello []byte) (int, error) {
	const n = 400 // fewer than what a flood is for the broker
	before := p.cpu()
	for range n {
		if err := p.begin(hello); err != nil {
			return 0, err
		}
	}
	cost := (p.cpu() - before) / n
	if cost == 0 {
		return 0, errors.New("handshakes that cost nothing")
	}
	return int(time.Second / cost), nil
}

// begin sends a hello and waits for an answer.
func (p *proxy) begin(hello []byte) error {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write(hello); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}
