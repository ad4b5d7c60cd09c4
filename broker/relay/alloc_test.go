package relay

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/race"
)

// Rows that pass cost no allocation, however many there are.
func TestRowsAllocateNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("allocations are counted in the pass without -race")
	}
	s, server, rows := inRows()
	if n := testing.AllocsPerRun(200, func() {
		server.spans.reset()
		if held, err := server.scan(rows); held != 0 || err != nil {
			t.Fatal(held, err)
		}
	}); n != 0 {
		t.Errorf("%.1f allocations for %d rows, want none", n, serverBuffer/15)
	}
	if got, want := s.rows.Load(), int64(201*(serverBuffer/15)+1); got != want {
		t.Errorf("%d rows counted, want %d", got, want)
	}
}

// inRows is a session in the middle of a result, and a server's buffer full of rows.
func inRows() (s *Session, server *Server, rows []byte) {
	s, server = audited(nil, DetailNone)
	s.plan(server, simpleRequest)
	server.scan(simpleReply[:len(simpleReply)-len(message('C', "SELECT 1\x00"))-len(message('Z', "I"))])
	return s, server, bytes.Repeat(message('D', "\x00\x01\x00\x00\x00\x04abcd"), serverBuffer/15)
}

// BenchmarkRows is the way of rows of four bytes from the server's buffer to what the client is sent.
func BenchmarkRows(b *testing.B) {
	_, server, rows := inRows()
	b.SetBytes(int64(len(rows)))
	b.ReportAllocs()
	for b.Loop() {
		server.spans.reset()
		if held, err := server.scan(rows); held != 0 || err != nil {
			b.Fatal(held, err)
		}
	}
}

// A prepared statement that runs under the server's name for it costs no allocation.
func TestRewriteAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("allocations are counted in the pass without -race")
	}
	s, run := rewriting(t)
	if bytes.Contains(s.box.bytes(), []byte("P0_1")) {
		t.Errorf("the server reads the client's name: %q", s.box.bytes())
	}
	if n := testing.AllocsPerRun(1000, func() { run(boundRequest, boundReply) }); n != 0 {
		t.Errorf("%.1f allocations for each, want none", n)
	}
}

// durable is an Observer that waits as a strict one does, for what is recorded at once.
type durable struct {
	keeper
	recorded chan struct{}
}

func (d *durable) Start(ctx context.Context, _ []*Statement) error {
	select {
	case d.recorded <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// To wait for its record costs a statement no allocation beside its text, and what ends the session or
// cancels the statement ends the wait, the next one's included when it came too early.
func TestStrictWaitAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("allocations are counted in the pass without -race")
	}
	to := &durable{recorded: make(chan struct{}, 1)}
	s, server := audited(to, DetailStatements)
	s.watch.gate = true
	s.ctx, s.stop = context.WithCancelCause(t.Context())
	now := time.Now()
	run := func() {
		s.watch.begin()
		if err := s.inspect(simpleRequest, server, now); err != nil {
			t.Fatal(err)
		}
		<-to.recorded
		s.box.reset()
		s.watch.sending(now)
		s.plan(server, simpleRequest)
		server.spans.reset()
		server.scan(simpleReply)
	}
	run()
	if n := testing.AllocsPerRun(1000, run); n > 1 {
		t.Errorf("%.1f allocations a statement, want its text alone", n)
	}
	if to.last.SQLState != "00000" || !to.last.Started {
		t.Errorf("told %+v", to.last)
	}
	s.stop(context.Canceled)
	to.recorded <- struct{}{} // nothing more is recorded
	s.watch.begin()
	if err := s.inspect(simpleRequest, server, now); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait of a session that has ended: %v", err)
	}
}

// rewriting is a session in transaction mode that has prepared a statement and run it once. run takes one
// request through the session, and its reply.
func rewriting(tb testing.TB) (s *Session, run func(request, reply []byte)) {
	s, server := audited(nil, DetailNone)
	s.cfg.Mode, s.cfg.Statements = TransactionMode, NewStatements()
	s.names, s.naming = make(map[string]named), make(map[string]int)
	run = func(request, reply []byte) {
		s.box.reset()
		if rest, _, err := s.plan(server, request); len(rest) != 0 || err != nil {
			tb.Fatalf("%q left, %v", rest, err)
		}
		server.spans.reset()
		if held, err := server.scan(reply); held != 0 || err != nil {
			tb.Fatal(held, err)
		}
	}
	run(prepareRequest, prepareReply)
	run(boundRequest, boundReply)
	return s, run
}

// BenchmarkRewrite is one run of a prepared statement: Bind, Execute and Sync, and the reply.
func BenchmarkRewrite(b *testing.B) {
	_, run := rewriting(b)
	b.ReportAllocs()
	for b.Loop() {
		run(boundRequest, boundReply)
	}
}
