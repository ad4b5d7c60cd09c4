package broker

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// observed is what the relay tells of a statement that was answered.
func observed(at time.Time) *relay.Statement {
	return &relay.Statement{
		ID: 1, Op: relay.OpQuery, Text: "SELECT abalance FROM pgbench_accounts WHERE aid = 48213", Tags: []string{"SELECT 1"},
		SQLState: "00000", RowsOut: 1, BytesIn: 60, BytesOut: 80, Queue: 40 * time.Microsecond, Exec: 300 * time.Microsecond,
		At: at, Tx: 'I', Conn: 7, PID: 20418,
	}
}

// benchRecorder is a session's recorder over a log that writes to disk beside it.
func benchRecorder(t testing.TB) *recorder {
	trail, err := audit.Open(audit.Config{Directory: filepath.Join(t.TempDir(), "audit"), Node: "gw1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := trail.Close(); err != nil {
			t.Error(err)
		}
	})
	return &recorder{trail: trail, refs: &audit.Refs{
		SID: "01993a9c-5f2e-7cc1-8f2b-0123456789ab", CertSHA256: "9f2c4b1de0a2a9b1f34bb0f4a6f0a5c8f7d9e2c3b4a5968778695a4b3c2d1e0f",
		Map: "api", Role: "api_rw", Database: "orders",
	}}
}

// burst is how many statements are recorded until the writer has written them: fewer than its queue
// holds, so that none is lost, and more than come together in one of its rounds.
const burst = 2048

// bench tells r of n statements in bursts and returns how long the telling alone took.
func (r *recorder) bench(t testing.TB, n int) (took time.Duration) {
	s := observed(time.Now())
	for left := n; left > 0; left -= burst {
		start := time.Now()
		for range min(left, burst) {
			r.Done(s)
		}
		took += time.Since(start)
		if err := r.trail.Submit(&audit.Record{Event: audit.ConfigReload, Reload: &audit.Reload{}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if lost := r.trail.Stats().Lost; lost > 0 {
		t.Fatalf("%d records lost", lost)
	}
	return took
}

// What the recorder adds to a statement on the relay's path: no allocation, and with what the watch takes
// (relay's BenchmarkWatch) at most 3 µs; the test asserts ten times that.
func TestRecorderIsCheap(t *testing.T) {
	if race.Enabled {
		t.Skip("allocations and times are measured in the pass without -race")
	}
	r := benchRecorder(t)
	r.bench(t, 4*burst) // the queue grows once
	s := observed(time.Now())
	if n := testing.AllocsPerRun(1000, func() { r.Done(s) }); n > 0 {
		t.Errorf("%.1f allocations a statement, want none", n)
	}
	for attempt := 1; ; attempt++ { // a machine that does something else is no reason to fail
		each := r.bench(t, 4*burst) / (4 * burst)
		if each <= 30*time.Microsecond {
			t.Logf("%v a statement", each)
			return
		}
		if attempt == 5 {
			t.Fatalf("%v a statement, want at most 30 µs", each)
		}
	}
}

// BenchmarkRecorder is the recorder's part of a statement on the relay's path: telling it of the outcome
// until it is in the queue, beside a writer that writes all of them.
func BenchmarkRecorder(b *testing.B) {
	r := benchRecorder(b)
	b.ReportAllocs()
	took, n := time.Duration(0), 0
	for b.Loop() {
		took += r.bench(b, burst)
		n += burst
	}
	b.ReportMetric(float64(took)/float64(n), "ns/statement")
}
