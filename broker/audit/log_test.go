package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
