package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgsignet/pgsignet/testenv/dropfs"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

func TestMain(m *testing.M) { os.Exit(poll.Main(m)) }

// openTest opens a log in a directory of its own and closes it at the end of the test.
func openTest(t testing.TB, cfg Config) *Log {
	t.Helper()
	if cfg.Directory == "" {
		cfg.Directory = filepath.Join(t.TempDir(), "audit")
	}
	if cfg.Node == "" {
		cfg.Node = "gw1"
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// readLines returns the lines of every segment in dir, in order.
func readLines(t *testing.T, dir string) [][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, bytes.Split(bytes.TrimSuffix(b, []byte{'\n'}), []byte{'\n'})...)
	}
	return lines
}

func TestLinesAreChainedAndSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := openTest(t, Config{Directory: dir})
	if err := l.Append(&Record{Event: SessionOpen, SID: "0199"}); err != nil {
		t.Fatal(err)
	}
	if err := l.AppendDurable(context.Background(), &Record{Event: SessionClose, SID: "0199", End: &End{Reason: "client_closed"}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var c chain
	var events []string
	for i, raw := range readLines(t, dir) {
		var got struct {
			Seq   int64
			Prev  string
			Event string
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatalf("line %d: %v: %s", i+1, err, raw)
		}
		if got.Seq != c.next() || got.Prev != c.prev.String() {
			t.Errorf("line %d: seq %d prev %s, want %d %s", i+1, got.Seq, got.Prev, c.next(), c.prev)
		}
		c.add(raw)
		events = append(events, got.Event)
	}
	want := []string{"checkpoint", "session.open", "session.close", "checkpoint"}
	if len(events) != len(want) || events[1] != want[1] || events[2] != want[2] || events[3] != want[3] {
		t.Errorf("events %q, want %q", events, want)
	}
}

// A disk that neither writes nor fails is not healthy, under either delivery: a strict broker refuses logins
// then and is not ready. It is healthy again once it has answered.
func TestSilentDisk(t *testing.T) {
	for _, delivery := range []Delivery{BestEffort, Strict} {
		t.Run(string(delivery), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			synctest.Test(t, func(t *testing.T) {
				disk := dropfs.New()
				l, err := Open(Config{Directory: dir, Node: "gw1", Delivery: delivery, Files: onDisk{disk}})
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				ticket := l.Submit(stmtRecord("select 1"))
				if ticket.Err() != nil || l.Healthy() != nil {
					t.Fatalf("%v, %v at first", ticket.Err(), l.Healthy())
				}
				time.Sleep(time.Hour)
				release := disk.Hold()
				first := l.Submit(stmtRecord("select 2"))
				<-disk.Holding
				time.Sleep(silence / 2)
				if err := l.Append(stmtRecord("select 3")); err != nil || l.Healthy() != nil {
					t.Errorf("after 5 s: %v, %v", err, l.Healthy())
				}
				time.Sleep(silence)
				if err := l.Healthy(); !errors.Is(err, errSilent) {
					t.Errorf("after 15 s: %v, want %v", err, errSilent)
				}
				release()
				if err := first.Err(); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				if err := l.Healthy(); err != nil {
					t.Errorf("after the disk has answered: %v", err)
				}
			})
		})
	}
}

// Close waits for a disk that is slow, but not for ever for one that does not answer: it says what is missing,
// and the next start closes the stream.
func TestCloseIsBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	synctest.Test(t, func(t *testing.T) {
		disk := dropfs.New()
		l, err := Open(Config{Directory: dir, Node: "gw1", Files: onDisk{disk}})
		if err != nil {
			t.Fatal(err)
		}
		release := disk.Hold()
		l.Append(stmtRecord("select 1"))
		began := time.Now()
		err = l.Close()
		if took := time.Since(began); took < silence || took > 3*silence || !errors.Is(err, errSilent) || !strings.Contains(err.Error(), l.stream) {
			t.Errorf("Close returned %v after %v", err, took)
		}
		release()
		if err := l.Close(); err != nil {
			t.Errorf("Close of a disk that has answered after all: %v", err)
		}
	})
	slow := filepath.Join(t.TempDir(), "audit")
	synctest.Test(t, func(t *testing.T) {
		disk := dropfs.New()
		l, err := Open(Config{Directory: slow, Node: "gw1", Files: onDisk{disk}})
		if err != nil {
			t.Fatal(err)
		}
		release := disk.Hold()
		l.Append(stmtRecord("select 2"))
		time.AfterFunc(silence-time.Second, release)
		if err := l.Close(); err != nil {
			t.Errorf("Close over a slow disk: %v", err)
		}
	})
	wantClean(t, dir)
	wantClean(t, slow)
}
