package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgsignet/pgsignet/testenv/dropfs"
)

// verifyDir runs Verify with the directory's own keys.
func verifyDir(t *testing.T, dir string, kept ...string) []*StreamReport {
	t.Helper()
	keys, err := LoadKeys(filepath.Join(dir, vkeyFile))
	if err != nil {
		t.Fatal(err)
	}
	all, err := Verify(VerifyConfig{Directory: dir, Keys: keys, Kept: kept})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantClean fails the test for every bad finding.
func wantClean(t *testing.T, dir string) {
	t.Helper()
	for _, r := range verifyDir(t, dir) {
		for _, f := range r.Findings {
			if f.Kind.Bad() {
				t.Errorf("verify: %s", f)
			}
		}
	}
}

// What was acknowledged before the machine died is in the record, whatever became of the rest, and
// the next start mends the stream: 50 rounds in one directory.
func TestCrashKeepsWhatWasAcknowledged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	rnd := rand.New(rand.NewPCG(1, 2))
	acked, recorded := map[string]bool{}, map[string]bool{}
	for round := range 50 {
		files := dropfs.New()
		files.Torn = func(n int64) int64 { return rnd.Int64N(n + 1) }
		l, err := Open(Config{Directory: dir, Node: "gw1", Delivery: Strict, SegmentSize: 20_000, Files: onDisk{files}})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, id := range underLoad(t, l, files, round, 20+rnd.IntN(200)) {
			acked[id] = true
		}
		l.Close()
	}
	openTest(t, Config{Directory: dir}).Close()
	for _, l := range readLines(t, dir) {
		if _, rest, ok := bytes.Cut(l, []byte(`"text":"`)); ok {
			id, _, _ := bytes.Cut(rest, []byte(`"`))
			recorded[string(id)] = true
		}
	}
	for id := range acked {
		if !recorded[id] {
			t.Errorf("statement %q was acknowledged and is not in the record", id)
		}
	}
	if len(acked) < 50*20 {
		t.Errorf("%d statements acknowledged: the test did not load the log", len(acked))
	}
	wantClean(t, dir)
}

// underLoad lets eight clients record statements until n are acknowledged, kills the machine in the
// middle of the others, and returns those acknowledged.
func underLoad(t *testing.T, l *Log, files *dropfs.Disk, round, n int) []string {
	t.Helper()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		acked []string
		count atomic.Int64
		once  sync.Once
	)
	for c := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("r%d c%d i%d", round, c, i)
				l.Append(&Record{Event: Statement, Stmt: &Stmt{ID: uint64(i), Phase: PhaseEnd}})
				if l.Submit(&Record{Event: Statement, Stmt: &Stmt{ID: uint64(i), Phase: PhaseStart, Text: id}}).Err() != nil {
					return
				}
				mu.Lock()
				acked = append(acked, id)
				mu.Unlock()
				if count.Add(1) > int64(n) {
					once.Do(func() { files.Kill(t) })
				}
			}
		})
	}
	wg.Wait()
	return acked
}

func TestDiskFailsAndRecovers(t *testing.T) {
	for _, tt := range []struct {
		name string
		harm func(*dropfs.Disk)
		mend func(*dropfs.Disk)
	}{
		{"fdatasync", func(d *dropfs.Disk) { d.Fail(syscall.EIO) }, func(d *dropfs.Disk) { d.Fail(nil) }},
		{"disk full", func(d *dropfs.Disk) { d.Leave(100) }, func(d *dropfs.Disk) { d.Leave(-1) }},
	} {
		for _, delivery := range []Delivery{BestEffort, Strict} {
			t.Run(tt.name+"/"+string(delivery), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { diskFails(t, delivery, tt.harm, tt.mend) })
			})
		}
	}
}

func diskFails(t *testing.T, delivery Delivery, breakIt, mend func(*dropfs.Disk)) {
	dir := filepath.Join(t.TempDir(), "audit")
	files := dropfs.New()
	l := openTest(t, Config{Directory: dir, Delivery: delivery, Files: onDisk{files}})
	ctx := context.Background()
	if err := l.AppendDurable(ctx, stmtRecord("before")); err != nil {
		t.Fatal(err)
	}
	breakIt(files)
	if err := l.Append(stmtRecord("kept")); err != nil {
		t.Fatal(err)
	}
	err := l.AppendDurable(ctx, stmtRecord("refused"))
	var werr *WriteError
	if !errors.As(err, &werr) || werr.SQLState() != "58030" || werr.Reason() != "audit_failed" {
		t.Fatalf("AppendDurable on a failing disk: %v, want a WriteError 58030", err)
	}
	if l.Healthy() == nil {
		t.Error("Healthy is nil while the disk fails")
	}
	if err := l.AppendDurable(ctx, stmtRecord("refused")); !errors.As(err, &werr) {
		t.Errorf("second AppendDurable: %v, want a WriteError", err)
	}
	if err := l.Append(stmtRecord("kept too")); err != nil {
		t.Errorf("Append while the disk fails: %v", err)
	}
	mend(files)
	time.Sleep(2 * retryEvery) // synctest's clock
	synctest.Wait()
	if err := l.Healthy(); err != nil {
		t.Fatalf("Healthy after the disk works again: %v", err)
	}
	if err := l.AppendDurable(ctx, stmtRecord("after")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	all := string(bytes.Join(readLines(t, dir), []byte("\n")))
	for text, want := range map[string]bool{"before": true, "kept": true, "kept too": true, "after": true, "refused": false} {
		if got := strings.Contains(all, `"text":"`+text+`"`); got != want {
			t.Errorf("record of %q: %v, want %v", text, got, want)
		}
	}
	if !strings.Contains(all, `"cause":"recovery"`) {
		t.Error("no recovery checkpoint")
	}
	wantClean(t, dir)
}

func stmtRecord(text string) *Record {
	return &Record{Event: Statement, SID: "0199", Stmt: &Stmt{ID: 1, Phase: PhaseAll, Op: "query", Text: text}}
}

// A queue that cannot be drained drops what does not fit, and the next line says how much.
func TestFullQueueSaysWhatItLost(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	files := dropfs.New()
	l := openTest(t, Config{Directory: dir, QueueRecords: 10, Files: onDisk{files}})
	release := files.Hold()
	held := l.Submit(stmtRecord("held")) // the writer is in its fdatasync, or about to take this one
	<-files.Holding
	for i := range 25 {
		if err := l.Append(stmtRecord("x")); (err != nil) != (i >= 10) || err != nil && !errors.Is(err, ErrLost) {
			t.Errorf("Append %d: %v", i, err)
		}
	}
	release()
	if err := held.Err(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := l.Stats().Lost; got != 15 {
		t.Errorf("Stats().Lost = %d, want 15", got)
	}
	if n := bytes.Count(bytes.Join(readLines(t, dir), nil), []byte(`"event":"statement","lost":15,`)); n != 1 {
		t.Errorf("%d lines say that 15 were lost, want 1", n)
	}
}

// Big texts are bounded by bytes, not by number alone.
func TestQueueIsBoundedInBytes(t *testing.T) {
	files := dropfs.New()
	l := openTest(t, Config{QueueBytes: 1000, Files: onDisk{files}})
	release := files.Hold()
	held := l.Submit(stmtRecord("held"))
	<-files.Holding
	big := stmtRecord(strings.Repeat("x", 600))
	if err := l.Append(big); err != nil {
		t.Errorf("first: %v", err)
	}
	if err := l.Append(big); !errors.Is(err, ErrLost) {
		t.Errorf("second: %v, want ErrLost", err)
	}
	release()
	if err := held.Err(); err != nil {
		t.Fatal(err)
	}
}

// Close while the disk fails says so; the next process closes the stream.
func TestCloseWhileTheDiskFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	files := dropfs.New()
	l := openTest(t, Config{Directory: dir, Files: onDisk{files}})
	if err := l.AppendDurable(context.Background(), stmtRecord("before")); err != nil {
		t.Fatal(err)
	}
	files.Fail(syscall.EIO)
	if err := l.Append(stmtRecord("lost with the process")); err != nil {
		t.Fatal(err)
	}
	var werr *WriteError
	if err := l.Close(); !errors.As(err, &werr) {
		t.Errorf("Close: %v, want a WriteError", err)
	}
	if err := l.Append(stmtRecord("too late")); !errors.As(err, &werr) {
		t.Errorf("Append after Close: %v, want a WriteError", err)
	}
	openTest(t, Config{Directory: dir}).Close()
	if got := findings(verifyDir(t, dir)); len(got) != 0 {
		t.Errorf("findings %q, want none: a closed stream", got)
	}
}

// A file that an fdatasync failed on is left as it is when it cannot be cut either; what a recovery
// checkpoint gave up of it counts for nothing.
func TestGivenUpTailIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "audit")
		files := dropfs.New()
		l := openTest(t, Config{Directory: dir, Files: onDisk{files}})
		if err := l.AppendDurable(context.Background(), stmtRecord("before")); err != nil {
			t.Fatal(err)
		}
		files.FailSync(syscall.EIO)
		if err := l.AppendDurable(context.Background(), stmtRecord("refused")); err == nil {
			t.Fatal("no error")
		}
		files.FailSync(nil)
		time.Sleep(2 * retryEvery)
		synctest.Wait()
		if err := l.AppendDurable(context.Background(), stmtRecord("after")); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if all := string(bytes.Join(readLines(t, dir), nil)); !strings.Contains(all, `"refused"`) {
			t.Fatal("the file was cut: nothing is tested")
		}
		wantClean(t, dir)
		if !has(verifyDir(t, dir), "given up after 2") {
			t.Errorf("verify does not say what was given up: %q", findings(verifyDir(t, dir)))
		}
		if err := Search(context.Background(), SearchConfig{Directory: dir, Query: Query{Text: "refused"}, Visit: func(m *Match) error {
			t.Errorf("search finds what was given up: %s", m.Lines[0])
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"before", "after"} {
			n := 0
			if _, err := NewFeed(dir, nil, true, nil).Read(context.Background(), func(e *Entry) error {
				if bytes.Contains(e.Text, []byte(`"refused"`)) {
					t.Error("the feed gives what was given up")
				}
				if bytes.Contains(e.Text, []byte(`"`+want+`"`)) {
					n++
				}
				return nil
			}); err != nil || n != 1 {
				t.Errorf("%q is given %d times (%v)", want, n, err)
			}
		}
	})
}
