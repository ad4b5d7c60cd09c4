package relay

import (
	"bytes"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/race"
)

// Rows that pass cost no allocation, however many there are.
func TestRowsAllocateNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("allocations are counted in the pass without -race")
	}
	s, server := audited(nil, DetailNone)
	s.plan(server, simpleRequest)
	server.scan(simpleReply[:len(simpleReply)-len(message('C', "SELECT 1\x00"))-len(message('Z', "I"))])
	rows := bytes.Repeat(message('D', "\x00\x01\x00\x00\x00\x04abcd"), serverBuffer/15)
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

// A prepared statement that runs under the server's name for it costs no allocation.
func TestRewriteAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("allocations are counted in the pass without -race")
	}
	s, server := audited(nil, DetailNone)
	s.cfg.Mode, s.cfg.Statements = TransactionMode, NewStatements()
	s.names, s.naming = make(map[string]named), make(map[string]int)
	run := func(request, reply []byte) {
		s.box.reset()
		if rest, _, err := s.plan(server, request); len(rest) != 0 || err != nil {
			t.Fatalf("%q left, %v", rest, err)
		}
		server.spans.reset()
		if held, err := server.scan(reply); held != 0 || err != nil {
			t.Fatal(held, err)
		}
	}
	run(prepareRequest, prepareReply)
	run(boundRequest, boundReply)
	if bytes.Contains(s.box.bytes(), []byte("P0_1")) {
		t.Errorf("the server reads the client's name: %q", s.box.bytes())
	}
	if n := testing.AllocsPerRun(1000, func() { run(boundRequest, boundReply) }); n != 0 {
		t.Errorf("%.1f allocations for each, want none", n)
	}
}
