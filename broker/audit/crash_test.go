package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// dropFiles is a file system that forgets at kill what was not synced, as a machine does that loses
// power. The page cache outlives a kill -9 and would hide a missing fdatasync.
type dropFiles struct {
	mu    sync.Mutex
	dead  bool
	files map[string]*dropFile
	fail  error // what every write and sync returns, when set
	room  int64 // bytes that may still be written; negative: no limit
	torn  func(n int64) int64

	holding chan struct{} // a sync waits for the hold to end
	gate    chan struct{}
}

type dropFile struct {
	fs              *dropFiles
	f               *os.File
	named           bool
	written, synced int64
}

var errDead = errors.New("killed")

func newDropFiles() *dropFiles {
	return &dropFiles{files: map[string]*dropFile{}, room: -1, torn: func(int64) int64 { return 0 }}
}

func (d *dropFiles) Create(path string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.err(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	df := &dropFile{fs: d, f: f}
	d.files[path] = df
	return df, nil
}

func (d *dropFiles) err() error {
	if d.dead {
		return errDead
	}
	return d.fail
}

func (d *dropFiles) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.err(); err != nil {
		return err
	}
	for path, f := range d.files {
		f.named = f.named || filepath.Dir(path) == dir
	}
	return nil
}

func (f *dropFile) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.err(); err != nil {
		return 0, err
	}
	var full error
	if f.fs.room >= 0 && int64(len(p)) > f.fs.room {
		p, full = p[:f.fs.room], syscall.ENOSPC
	}
	n, err := f.f.Write(p)
	f.written += int64(n)
	if f.fs.room >= 0 {
		f.fs.room -= int64(n)
	}
	return n, errors.Join(err, full)
}

// hold stops the next sync until the function returned is called.
func (d *dropFiles) hold() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.gate, d.holding = gate, make(chan struct{}, 1)
	return func() { close(gate) }
}

func (d *dropFiles) pass() {
	d.mu.Lock()
	gate := d.gate
	d.gate = nil
	d.mu.Unlock()
	if gate != nil {
		d.holding <- struct{}{}
		<-gate
	}
}

func (f *dropFile) Sync() error {
	f.fs.pass()
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.err(); err != nil {
		return err
	}
	f.synced = f.written
	return nil
}

func (f *dropFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.err(); err != nil {
		return err
	}
	f.written, f.synced = size, min(f.synced, size)
	return f.f.Truncate(size)
}

func (f *dropFile) Close() error { return f.f.Close() }

// kill ends the machine: unsynced bytes go, but for what torn lets stay, and files without a durable
// name go as well.
func (d *dropFiles) kill(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	for path, f := range d.files {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if !f.named {
			os.Remove(path)
			continue
		}
		if f.written > f.synced {
			if err := os.Truncate(path, f.synced+d.torn(f.written-f.synced)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (d *dropFiles) set(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

func (d *dropFiles) leave(room int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = room
}

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
		files := newDropFiles()
		files.torn = func(n int64) int64 { return rnd.Int64N(n + 1) }
		l, err := Open(Config{Directory: dir, Node: "gw1", Delivery: Strict, SegmentSize: 20_000, Files: files})
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
func underLoad(t *testing.T, l *Log, files *dropFiles, round, n int) []string {
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
					once.Do(func() { files.kill(t) })
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
		harm func(*dropFiles)
		mend func(*dropFiles)
	}{
		{"fdatasync", func(d *dropFiles) { d.set(syscall.EIO) }, func(d *dropFiles) { d.set(nil) }},
		{"disk full", func(d *dropFiles) { d.leave(100) }, func(d *dropFiles) { d.leave(-1) }},
	} {
		for _, delivery := range []Delivery{BestEffort, Strict} {
			t.Run(tt.name+"/"+string(delivery), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { diskFails(t, delivery, tt.harm, tt.mend) })
			})
		}
	}
}

func diskFails(t *testing.T, delivery Delivery, breakIt, mend func(*dropFiles)) {
	dir := filepath.Join(t.TempDir(), "audit")
	files := newDropFiles()
	l := openTest(t, Config{Directory: dir, Delivery: delivery, Files: files})
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
	files := newDropFiles()
	l := openTest(t, Config{Directory: dir, QueueRecords: 10, Files: files})
	release := files.hold()
	held := l.Submit(stmtRecord("held")) // the writer is in its fdatasync, or about to take this one
	<-files.holding
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
	files := newDropFiles()
	l := openTest(t, Config{QueueBytes: 1000, Files: files})
	release := files.hold()
	held := l.Submit(stmtRecord("held"))
	<-files.holding
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
