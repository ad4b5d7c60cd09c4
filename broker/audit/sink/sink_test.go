package sink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

func TestMain(m *testing.M) { os.Exit(poll.Main(m)) }

// openLog opens a record in a directory of its own.
func openLog(t *testing.T, cfg audit.Config) (*audit.Log, string) {
	t.Helper()
	if cfg.Directory == "" {
		cfg.Directory = filepath.Join(t.TempDir(), "audit")
	}
	cfg.Node = "gw1"
	l, err := audit.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, cfg.Directory
}

func statement(i int) *audit.Record {
	return &audit.Record{Event: audit.Statement, SID: "0199", Map: "m", Role: "r", Database: "d",
		Stmt: &audit.Stmt{ID: uint64(i), Phase: audit.PhaseAll, Op: "query", Text: fmt.Sprintf("select %d", i), SQLState: "00000"}}
}

// written returns the lines of the record.
func written(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
	}
	return all
}

// memory is a destination that keeps what it got, and fails when told to.
type memory struct {
	mu     sync.Mutex
	lines  map[int64]string // by seq
	order  []int64
	twice  int
	fail   func() error
	broken error         // of Check
	gate   chan struct{} // when not nil, a delivery waits for it
}

func (m *memory) Deliver(ctx context.Context, lines []Line) error {
	if m.gate != nil {
		select {
		case <-m.gate:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail(); err != nil {
			return err
		}
	}
	if m.lines == nil {
		m.lines = map[int64]string{}
	}
	for _, l := range lines {
		if old, ok := m.lines[l.Seq]; ok {
			m.twice++
			if old != string(l.Text) {
				return fmt.Errorf("seq %d came with two texts", l.Seq)
			}
			continue
		}
		m.lines[l.Seq] = string(l.Text)
		m.order = append(m.order, l.Seq)
	}
	return nil
}

func (m *memory) Check() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.broken
}

func (*memory) Close() error { return nil }

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.lines)
}

// start runs a sink until the function returned is called.
func start(t *testing.T, s *Sink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func newSink(t *testing.T, cfg Config, dst Destination) *Sink {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "test"
	}
	s, err := New(cfg, dst)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every line arrives, in order and as it was written, although the destination fails half the time and
// the sink is stopped and started all along.
func TestEveryLineArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dir := openLog(t, audit.Config{SegmentSize: 5000})
		rnd := rand.New(rand.NewPCG(3, 4))
		dst := &memory{fail: func() error {
			if rnd.IntN(2) == 0 {
				return errors.New("refused")
			}
			return nil
		}}
		for round := range 20 {
			stop := start(t, newSink(t, Config{Directory: dir, Log: l, Lines: 7, Settle: time.Duration(round%3) * time.Second}, dst))
			for i := range 30 {
				if err := l.Append(statement(round*30 + i)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(300 * time.Millisecond)
			}
			stop()
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		dst.fail = nil
		if err := newSink(t, Config{Directory: dir, Log: l}, dst).Once(context.Background()); err != nil {
			t.Fatal(err)
		}
		all := written(t, dir)
		for i, line := range all {
			if got := dst.lines[int64(i+1)]; got != line {
				t.Fatalf("seq %d: got %.80q, want %.80q", i+1, got, line)
			}
		}
		if len(dst.lines) != len(all) {
			t.Errorf("%d lines arrived, %d were written", len(dst.lines), len(all))
		}
		for i, seq := range dst.order {
			if seq != int64(i+1) {
				t.Fatalf("line %d to arrive is seq %d", i+1, seq)
			}
		}
		t.Logf("%d lines, %d repeated", len(all), dst.twice)
	})
}

// A destination that does not answer holds up nobody but its sink.
func TestWriterNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dir := openLog(t, audit.Config{})
		dst := &memory{gate: make(chan struct{})}
		stop := start(t, newSink(t, Config{Directory: dir, Log: l, Timeout: time.Hour}, dst))
		time.Sleep(5 * time.Second)
		began := time.Now()
		for i := range 100 {
			if err := l.AppendDurable(context.Background(), statement(i)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 0 { // the bubble's clock stands still while somebody can run
			t.Errorf("100 records took %v beside a stuck sink", took)
		}
		close(dst.gate)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := dst.count(); n < 101 {
			t.Errorf("%d lines arrived after the destination woke up, want 101", n)
		}
		stop()
	})
}

func TestReportsOnceWhenItFailsAndOnceWhenItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dir := openLog(t, audit.Config{})
		broken := errors.New("broken")
		var mu sync.Mutex
		bad := true
		dst := &memory{fail: func() error {
			mu.Lock()
			defer mu.Unlock()
			if bad {
				return broken
			}
			return nil
		}}
		var said []error
		s := newSink(t, Config{Directory: dir, Log: l, Report: func(err error) { said = append(said, err) }}, dst)
		stop := start(t, s)
		time.Sleep(10 * time.Minute)
		if st := s.Stats(); !errors.Is(st.Error, broken) || st.Failures < 5 {
			t.Errorf("stats %+v, want failures by %v", st, broken)
		}
		mu.Lock()
		bad = false
		mu.Unlock()
		time.Sleep(2 * time.Minute)
		stop()
		if len(said) != 2 || !errors.Is(said[0], broken) || said[1] != nil {
			t.Errorf("reported %v, want the error and then nil", said)
		}
		if st := s.Stats(); st.Error != nil || st.Delivered == 0 {
			t.Errorf("stats %+v, want no error", st)
		}
	})
}

// Two processes that share a directory, as in an upgrade: one copies, the other takes over.
func TestOneCopiesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dir := openLog(t, audit.Config{})
		first, second := &memory{}, &memory{}
		stopFirst := start(t, newSink(t, Config{Directory: dir, Log: l}, first))
		time.Sleep(3 * time.Second)
		stopSecond := start(t, newSink(t, Config{Directory: dir, Log: l}, second))
		l.AppendDurable(context.Background(), statement(1))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if a, b := first.count(), second.count(); a != 2 || b != 0 {
			t.Errorf("the first got %d lines and the second %d, want 2 and 0", a, b)
		}
		stopFirst()
		l.AppendDurable(context.Background(), statement(2))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if b := second.count(); b != 1 {
			t.Errorf("the second got %d lines, want the one that was new", b)
		}
		stopSecond()
	})
}
