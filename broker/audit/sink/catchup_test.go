package sink

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgsignet/pgsignet/broker/audit"
)

// A sink that was away for an hour, over many segments and two lives of the process, catches up: every line,
// once, in order, and the last of them.
func TestCatchesUpAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "audit")
		var up atomic.Bool
		dst := &byStream{memory: map[string]*memory{}, fail: func() error {
			if !up.Load() {
				return errors.New("away")
			}
			return nil
		}}
		lines := 0
		for life := range 2 {
			l, _ := openLog(t, audit.Config{Directory: dir, SegmentSize: 64 << 10})
			s := newSink(t, Config{Directory: dir, Log: l}, dst)
			stop := start(t, s)
			for i := range 30 * 60 / 5 {
				for k := range 10 {
					if err := l.Append(statement(life<<20 + i<<4 + k)); err != nil {
						t.Fatal(err)
					}
					lines++
				}
				time.Sleep(5 * time.Second)
			}
			if dst.count() != 0 || s.Stats().Failures == 0 {
				t.Fatalf("%d lines arrived, %d failures, while it was away", dst.count(), s.Stats().Failures)
			}
			if life == 1 {
				up.Store(true)
				time.Sleep(2 * time.Minute) // its longest pause, and a round
				synctest.Wait()
			}
			stop()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*.ndjson")); len(files) < 20 {
			t.Fatalf("the record has %d files, want many", len(files))
		}
		l, _ := openLog(t, audit.Config{Directory: dir})
		if err := newSink(t, Config{Directory: dir, Log: l}, dst).Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		statements, all := 0, strings.Join(written(t, dir), "\n")
		for stream, m := range dst.memory {
			if m.twice > 0 {
				t.Errorf("%s: %d lines came twice", stream, m.twice)
			}
			for i, seq := range m.order {
				if seq != int64(i+1) {
					t.Fatalf("%s: line %d came in place %d", stream, seq, i+1)
				}
				if strings.Contains(m.lines[seq], `"event":"statement"`) {
					statements++
				}
				if i%97 == 0 && !strings.Contains(all, m.lines[seq]) {
					t.Errorf("%s: line %d is not the record's: %s", stream, seq, m.lines[seq])
				}
			}
		}
		if statements != lines {
			t.Errorf("%d statements arrived, want %d", statements, lines)
		}
	})
}

// byStream keeps a memory for each stream.
type byStream struct {
	memory map[string]*memory
	fail   func() error
}

func (b *byStream) Deliver(ctx context.Context, lines []Line) error {
	if err := b.fail(); err != nil {
		return err
	}
	for i := range lines {
		m := b.memory[lines[i].Stream]
		if m == nil {
			m = &memory{}
			b.memory[lines[i].Stream] = m
		}
		if err := m.Deliver(ctx, lines[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (*byStream) Check() error { return nil }
func (*byStream) Close() error { return nil }

func (b *byStream) count() (n int) {
	for _, m := range b.memory {
		n += m.count()
	}
	return n
}

// What a destination without acknowledgements took counts as arrived when its connection has lasted for the
// time of settling, and not when nobody looked: it hung up, and nothing new made the sink find out.
func TestHungUpBeforeItSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dir := openLog(t, audit.Config{})
		dst := &memory{}
		stop := start(t, newSink(t, Config{Directory: dir, Log: l, Settle: 5 * time.Second}, dst))
		if err := l.AppendDurable(context.Background(), statement(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		set := func(err error) {
			dst.mu.Lock()
			defer dst.mu.Unlock()
			dst.broken = err
		}
		set(errHungUp)
		time.Sleep(10 * time.Second)
		set(nil)
		time.Sleep(time.Minute)
		stop()
		if dst.count() < 2 || dst.twice < 2 {
			t.Errorf("%d lines arrived and %d were repeated, want 2 of each at least", dst.count(), dst.twice)
		}
	})
}

// A destination that fails every few batches gets a long backlog all the same: each pass goes on where the
// last one came to.
func TestLongPassIsNotInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dir := openLog(t, audit.Config{})
		for i := range 60 {
			if err := l.AppendDurable(context.Background(), statement(i)); err != nil {
				t.Fatal(err)
			}
		}
		calls := 0
		dst := &memory{fail: func() error {
			time.Sleep(time.Second)
			if calls++; calls%6 == 0 {
				return errors.New("refused")
			}
			return nil
		}}
		stop := start(t, newSink(t, Config{Directory: dir, Log: l, Lines: 1, Settle: 2 * time.Second}, dst))
		time.Sleep(time.Hour)
		synctest.Wait()
		stop()
		if n := dst.count(); n < 61 { // and its checkpoints
			t.Errorf("%d lines arrived in an hour, want 61 at least", n)
		}
	})
}
