package audit

import (
	"fmt"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/race"
)

// benchRefs are a session's.
var benchRefs = &Refs{SID: testSID, CertSHA256: testCert, Map: "api", Role: "api_rw", Database: "orders"}

// appendStatement is what a relay does for a statement under best effort: its own copy of the text, and
// AppendStatement.
func appendStatement(l *Log, text []byte, id uint64) error {
	return l.AppendStatement(benchRefs, &Ran{
		Time: time.Now(), Conn: 7, PID: 20418,
		Stmt: Stmt{ID: id, Phase: PhaseAll, Op: "query", Text: string(text), Tags: benchTags, SQLState: "00000", Rows: 1, RowsOut: 1,
			BytesIn: 120, BytesOut: 320, Queue: 40 * time.Microsecond, Exec: 1830 * time.Microsecond, Tx: 'I'},
	})
}

var benchTags = []string{"SELECT 1"}

var benchText = []byte("SELECT abalance FROM pgbench_accounts WHERE aid = 48213 AND note = 'nothing to see';")

// A statement costs one allocation, its text, and ten times less than the time allowed fits ten times.
func TestAppendIsCheap(t *testing.T) {
	if race.Enabled {
		t.Log("allocations and time are measured without -race")
		return
	}
	l := openTest(t, Config{QueueRecords: 1 << 18})
	id := uint64(0)
	for attempt := 1; ; attempt++ { // a machine that does something else is no reason to fail
		start := time.Now()
		allocs := testing.AllocsPerRun(20_000, func() {
			id++
			if err := appendStatement(l, benchText, id); err != nil {
				t.Fatal(err)
			}
		})
		each := time.Since(start) / 20_000
		if allocs > 1 {
			t.Errorf("%.1f allocations per statement, want at most 1", allocs)
		}
		if each <= 30*time.Microsecond {
			return
		}
		if attempt == 5 {
			t.Fatalf("%v per statement, want at most 30 µs (ten times the figure)", each)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	l := openTest(b, Config{QueueRecords: 1 << 16, SegmentSize: 64 << 20})
	b.ReportAllocs()
	lost := 0
	id := uint64(0)
	cpu := cpuTime()
	for b.Loop() {
		id++
		if appendStatement(l, benchText, id) != nil {
			lost++
		}
	}
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op") // the writer's too
	b.ReportMetric(float64(lost)/float64(b.N), "lost/op")
}

// BenchmarkRecord is what a statement costs in all, the writer's part too: no record is lost, and each
// 512th is waited for, as about as many come together in the writer's 50 ms under load.
func BenchmarkRecord(b *testing.B) {
	l := openTest(b, Config{SegmentSize: 64 << 20})
	b.ReportAllocs()
	id := uint64(0)
	cpu := cpuTime()
	for b.Loop() {
		id++
		if err := appendStatement(l, benchText, id); err != nil {
			b.Fatal(err)
		}
		if id%512 == 0 {
			if err := l.Submit(stmtRecord("select 1")).Err(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
}

// BenchmarkSubmit is strict's price: n sessions, each waiting for its own record.
func BenchmarkSubmit(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			l := openTest(b, Config{Delivery: Strict, SegmentSize: 64 << 20})
			b.SetParallelism((n + 1) / 2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := l.Submit(stmtRecord(string(benchText))).Err(); err != nil {
						b.Fatal(err)
					}
				}
			})
			s := l.Stats()
			b.ReportMetric(float64(s.Lines)/float64(s.Syncs), "lines/sync")
		})
	}
}
