package relay

import (
	"context"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// keeper is an Observer that keeps the last statement. What the broker's own costs is measured there
// (BenchmarkRecorder).
type keeper struct{ last Statement }

func (k *keeper) Start(context.Context, []*Statement) error { return nil }
func (k *keeper) Done(s *Statement) {
	k.last = *s
}
func (k *keeper) Copied(*Copy) {}

// audited is a session with its server, without sockets.
func audited(to Observer, detail Detail) (*Session, *Server) {
	s := &Session{cfg: Config{Mode: SessionMode, Observer: to, Detail: detail, Profile: &Profile{}}}
	s.watch = newWatch(&s.cfg)
	server := &Server{session: s}
	server.ledger.tx = 'I'
	return s, server
}

// exchange takes one read of the client's and the replies to it through the account.
func exchange(s *Session, server *Server, now time.Time, request []byte, replies [][]byte) {
	s.watch.begin()
	if s.watch.due() {
		s.watch.scan(s, request, 0, clockOf(now))
	}
	s.box.reset()
	s.watch.sending(now)
	s.plan(server, request)
	for _, b := range replies {
		server.spans.reset()
		server.scan(b)
	}
}

func message(typ byte, body string) []byte { return appendMessage(nil, typ, []byte(body)) }

func flow(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

var (
	simpleRequest  = message(pgwire.MsgQuery, "SELECT abalance FROM pgbench_accounts WHERE aid = 4711\x00")
	simpleReply    = flow(message('T', "\x00\x01abalance\x00\x00\x00\x40\x00\x00\x03\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00"), message('D', "\x00\x01\x00\x00\x00\x010"), message('C', "SELECT 1\x00"), message('Z', "I"))
	prepareRequest = flow(message(pgwire.MsgParse, "P0_1\x00SELECT abalance FROM pgbench_accounts WHERE aid = $1\x00\x00\x00"), message(pgwire.MsgSync, ""))
	prepareReply   = flow(message('1', ""), message('Z', "I"))
	boundRequest   = flow(message(pgwire.MsgBind, "\x00P0_1\x00\x00\x00\x00\x01\x00\x00\x00\x044711\x00\x00"), message(pgwire.MsgDescribe, "P\x00"), message(pgwire.MsgExecute, "\x00\x00\x00\x00\x00"), message(pgwire.MsgSync, ""))
	boundReply     = flow(message('2', ""), simpleReply[:len(simpleReply)-6], message('Z', "I"))
)

// shapes are the statements that the bar is about.
var shapes = []struct {
	name           string
	before, answer []byte
	request, reply []byte
}{
	{name: "simple", request: simpleRequest, reply: simpleReply},
	{name: "prepared", before: prepareRequest, answer: prepareReply, request: boundRequest, reply: boundReply},
}

// A statement costs at most one allocation, its text, and a session that is not watched none. The recorder
// behind it makes none (TestRecorderIsCheap), and two are allowed.
func TestWatchAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("allocations are counted in the pass without -race")
	}
	now := time.Now()
	for _, shape := range shapes {
		for _, tt := range []struct {
			detail Detail
			most   float64
		}{{DetailNone, 0}, {DetailStatements, 1}} {
			k := &keeper{}
			s, server := audited(k, tt.detail)
			run := func(request, reply []byte) {
				if tt.detail == DetailNone {
					s.box.reset()
					s.plan(server, request)
					server.spans.reset()
					server.scan(reply)
					return
				}
				exchange(s, server, now, request, [][]byte{reply})
			}
			if shape.before != nil {
				run(shape.before, shape.answer)
			}
			run(shape.request, shape.reply)
			if n := testing.AllocsPerRun(1000, func() { run(shape.request, shape.reply) }); n > tt.most {
				t.Errorf("%s, detail %d: %.1f allocations a statement, want at most %.0f", shape.name, tt.detail, n, tt.most)
			}
			if tt.detail == DetailNone {
				continue
			}
			if k.last.SQLState != "00000" || k.last.RowsOut != 1 || k.last.Text == "" || k.last.Tx != 'I' {
				t.Errorf("%s: told %+v", shape.name, k.last)
			}
		}
	}
}

// A statement costs the relay's path at most 3 µs; the test asserts ten times that.
func TestWatchIsFast(t *testing.T) {
	if race.Enabled {
		t.Skip("times are measured in the pass without -race")
	}
	for _, shape := range shapes {
		for attempt := 1; ; attempt++ { // a machine that does something else is no reason to fail
			r := testing.Benchmark(func(b *testing.B) { benchmarkWatch(b, shape.before, shape.answer, shape.request, shape.reply) })
			if took := time.Duration(r.NsPerOp()); took <= 30*time.Microsecond {
				t.Logf("%s: %v a statement, the account included", shape.name, took)
				break
			} else if attempt == 5 {
				t.Errorf("%s: %v a statement, want at most 30 µs", shape.name, took)
				break
			}
		}
	}
}

// BenchmarkWatch is an exchange with the relay's account of it, without sockets: watched, and as it is
// without an audit. The difference is what the watch costs.
func BenchmarkWatch(b *testing.B) {
	for _, shape := range shapes {
		b.Run(shape.name, func(b *testing.B) { benchmarkWatch(b, shape.before, shape.answer, shape.request, shape.reply) })
		b.Run(shape.name+"/unwatched", func(b *testing.B) {
			s, server := audited(&keeper{}, DetailNone)
			run := func(request, reply []byte) {
				s.box.reset()
				s.plan(server, request)
				server.spans.reset()
				server.scan(reply)
			}
			run(shape.before, shape.answer)
			b.ReportAllocs()
			for b.Loop() {
				run(shape.request, shape.reply)
			}
		})
	}
}

func benchmarkWatch(b *testing.B, before, answer, request, reply []byte) {
	s, server := audited(&keeper{}, DetailStatements)
	now := time.Now()
	if before != nil {
		exchange(s, server, now, before, [][]byte{answer})
	}
	replies := [][]byte{reply}
	b.ReportAllocs()
	for b.Loop() {
		exchange(s, server, now, request, replies)
	}
}
