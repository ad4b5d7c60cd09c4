package admin

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
)

// crowd is a broker with many sessions.
type crowd struct{ state State }

func (c *crowd) State() *State                             { return &c.state }
func (c *crowd) Do(context.Context, Command) (Done, error) { return Done{}, nil }
func (c *crowd) Denied(Command)                            {}

// script is a connection whose client has sent everything and reads nothing back but lengths.
type script struct {
	net.Conn
	in      *bytes.Reader
	written int
	longest int // of the writes
	out     bytes.Buffer
}

func (s *script) Read(p []byte) (int, error) { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error) {
	s.written, s.longest = s.written+len(p), max(s.longest, len(p))
	if s.out.Len() < 1<<20 {
		s.out.Write(p)
	}
	return len(p), nil
}

func message(typ byte, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{typ}, uint32(4+len(body)))) + body
}

// A client of the console, a viewer even, cannot make the broker keep much: what it asks for is sent as
// it goes, statements and portals are bounded together.
func TestConsoleKeepsLittle(t *testing.T) {
	const sessions = 2000
	state := State{Sessions: make([]Session, sessions)}
	bind := func(portal string) string { return message('B', portal+"\x00s\x00\x00\x00\x00\x00\x00\x00") }
	execute := func(portal string, rows byte) string { return message('E', portal+"\x00\x00\x00\x00"+string(rows)) }
	numbered := func(n int, one func(name string) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(one(fmt.Sprint("p", i)))
		}
		return b.String()
	}
	for _, tt := range []struct {
		name, in string
		want     string // an error; "": none
		least    int    // bytes written
	}{
		{"many commands", message('Q', strings.Repeat("show clients;", 40)+"\x00"), "", 40 * sessions * 50},
		{"many portals run", message('P', "s\x00show clients\x00\x00\x00") + numbered(40, func(p string) string { return bind(p) + execute(p, 0) }), "", 40 * sessions * 50},
		{"suspended portals", message('P', "s\x00show clients\x00\x00\x00") + numbered(50, func(p string) string { return bind(p) + execute(p, 1) }), "too many rows in suspended portals", 0},
		{"one portal suspended again and again", message('P', "s\x00show clients\x00\x00\x00") + strings.Repeat(bind("")+execute("", 1), 50), "", 0},
		{"long statements", numbered(40, func(p string) string {
			return message('P', p+"\x00show clients --"+strings.Repeat("x", 60<<10)+"\x00\x00\x00")
		}), "too many prepared statements", 0},
		{"one long statement again and again", strings.Repeat(message('P', "\x00show clients --"+strings.Repeat("x", 60<<10)+"\x00\x00\x00"), 40), "", 0},
		{"long names of portals", message('P', "s\x00show clients\x00\x00\x00") + numbered(40, func(p string) string { return bind(p + strings.Repeat("x", 60<<10)) }), "too many portals", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := &script{in: bytes.NewReader([]byte(tt.in + message('S', "")))}
			c := &Console{Broker: &crowd{state}, Rights: func() Rights { return Viewer }, Conn: conn}
			if err := c.Serve(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := conn.out.String(); strings.Contains(got, "SERROR") != (tt.want != "") || !strings.Contains(got, tt.want) {
				t.Errorf("answered %.300q, want %q", got[max(0, len(got)-300):], tt.want)
			}
			if conn.longest > 2*maxUnsent || cap(c.out) > 2*maxUnsent {
				t.Errorf("kept %d bytes to send", max(conn.longest, cap(c.out)))
			}
			if conn.written < tt.least {
				t.Errorf("%d bytes written, want %d at least", conn.written, tt.least)
			}
			if c.held != 0 || len(c.portals) != 0 {
				t.Errorf("after Sync: %d rows, %d portals", c.held, len(c.portals))
			}
		})
	}
	conn := &script{in: bytes.NewReader([]byte(message('Q', strings.Repeat(" ", maxMessage)+"\x00")))}
	c := &Console{Broker: &crowd{}, Rights: func() Rights { return Operator }, Conn: conn}
	if err := c.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "message too long") {
		t.Errorf("a long message: %v", err)
	}
}
