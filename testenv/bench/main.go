// Command bench drives PgBouncer and pgsignet side by side with the same work, in turn, and compares
// throughput, processor time and memory with the bar of docs/performance.md. `make bench` runs it.
//
// It is not a test: machines are noisy. It exits 1 when a row misses its bar.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == driveCommand {
		beDriver(os.Args[2], os.Args[3])
		return
	}
	if job := os.Getenv(attackJob); job != "" {
		if err := attackMain(job); err != nil {
			fmt.Fprintln(os.Stderr, "bench: attacker:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(1)
	}
}

// beDriver holds clients for another process of the bench. A signal is for that one to act upon.
func beDriver(dir, port string) {
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	err := raiseDescriptors()
	if err == nil {
		err = drive(dir, port, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: driver:", err)
		os.Exit(1)
	}
}

// settings are what BENCH, BENCH_SECONDS and BENCH_ROUNDS choose.
type settings struct {
	rows    []string // names; empty: all
	seconds int      // of one pgbench run
	rounds  int      // how often each row is run, in turn
	out     string   // JSON
	page    string   // Markdown
	bin     string   // the broker
}

func readSettings() (settings, error) {
	s := settings{seconds: 4, rounds: 3}
	flag.StringVar(&s.out, "json", "", "write the figures to this `FILE`")
	flag.StringVar(&s.page, "page", "", "put the figures into this Markdown `PAGE`, and the plot beside it")
	flag.StringVar(&s.bin, "bin", "bin/pgsignet", "the broker's `PROGRAM`")
	flag.Parse()
	if rows := os.Getenv("BENCH"); rows != "" {
		s.rows = strings.Split(rows, ",")
	}
	for name, value := range map[string]*int{"BENCH_SECONDS": &s.seconds, "BENCH_ROUNDS": &s.rounds} {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return s, fmt.Errorf("%s=%s: want a number of at least 1", name, text)
		}
		*value = n
	}
	return s, nil
}

// chosen says whether to run what has that name. "scale" is all names that begin with it.
func (s *settings) chosen(name string) bool {
	return len(s.rows) == 0 || slices.Contains(s.rows, name) ||
		strings.HasPrefix(name, "scale") && slices.Contains(s.rows, "scale")
}

func run(ctx context.Context) (ok bool, err error) {
	s, err := readSettings()
	if err != nil {
		return false, err
	}
	if err := raiseDescriptors(); err != nil {
		return false, err
	}
	w, err := newWorld(ctx, s)
	if err != nil {
		return false, err
	}
	defer func() {
		if cerr := w.close(); err == nil {
			err = cerr
		}
	}()
	report := &report{Date: time.Now().UTC(), Go: runtime.Version(), Cores: runtime.NumCPU(), Versions: w.versions,
		Machine: machine(), Seconds: s.seconds, Rounds: s.rounds}
	ok = true
	fmt.Printf("%s; %d cores; %d s a run, %d rounds, medians\n\n", strings.Join(w.versions, "; "), report.Cores, s.seconds, s.rounds)
	for _, r := range rows {
		if ctx.Err() != nil || !s.chosen(r.name) {
			continue
		}
		if len(report.Rows) == 0 {
			fmt.Println(header)
		}
		result := w.measure(ctx, r)
		report.Rows = append(report.Rows, result)
		fmt.Println(result.line())
		ok = ok && result.Pass
	}
	for _, g := range growths() {
		if ctx.Err() != nil || !s.chosen(g.name) {
			continue
		}
		w.grow(ctx, g)
		report.Growth = append(report.Growth, g)
		fmt.Println("\n" + g.table())
		ok = ok && len(g.Errors) == 0
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if s.page != "" {
		if err := report.writePage(s.page); err != nil {
			return false, err
		}
	}
	if s.out == "" {
		return ok, nil
	}
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return false, err
	}
	return ok, os.WriteFile(s.out, append(data, '\n'), 0o644)
}

// raiseDescriptors lifts the soft limit to the hard one: thousands of clients need a descriptor each.
func raiseDescriptors() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
