package admin

import (
	"context"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
)

// waiting is a broker whose commands end at once, as far as they are allowed.
type waiting struct{ crowd }

func (w *waiting) State() *State {
	return &State{Now: time.Unix(1e9, 0), Sessions: []Session{{}, {}}}
}

// converse is what the console answers to a client that sends in, cut into pieces, and leaves.
func converse(t *testing.T, in, cuts []byte) string {
	conn := &fakepg.Script{Says: in, Cuts: cuts}
	c := &Console{Broker: &waiting{}, Rights: func() Rights { return Operator }, Conn: conn}
	_ = c.Serve(context.Background()) // protocol errors end it
	if c.held < 0 || cap(c.out) > 2*maxUnsent {
		t.Fatalf("%d rows held, %d bytes kept to send", c.held, cap(c.out))
	}
	return string(conn.Heard)
}

// Whatever a client of the console sends: whole messages come back, as many answers to Query and Sync as
// there were, and the same in whatever pieces it arrives.
func FuzzConsole(f *testing.F) {
	prepared := message('P', "s\x00show clients\x00\x00\x00") + message('D', "Ss\x00") + message('B', "p\x00s\x00\x00\x00\x00\x00\x00\x00") +
		message('E', "p\x00\x00\x00\x00\x01") + message('C', "Pp\x00")
	for _, in := range []string{
		message('Q', "show pools; show version\x00") + message('X', ""), message('Q', "pause\x00") + message('Q', "resume\x00"),
		prepared + message('S', ""), prepared + message('H', ""), message('Q', "kill_client 1\x00") + message('Q', "select 1;\x00") + "Q\x00\x00\x00\x03",
		message('B', "\x00\x00\x00\x01\x00\x01\x00\x01\xff\xff\xff\xff\x00\x01\x00\x01") + message('S', "") + message('p', "secret\x00"),
	} {
		f.Add([]byte(in), []byte{})
		f.Add([]byte(in), []byte{0, 3})
	}
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		got := converse(t, in, nil)
		if again := converse(t, in, cuts); again != got {
			t.Fatalf("in pieces of %v it answers %q, whole %q", cuts, again, got)
		}
		asked, answered := requests(in), 0
		for b := []byte(got); len(b) > 0; {
			if len(b) < pgwire.HeaderSize {
				t.Fatalf("a torn message: %q", b)
			}
			typ, length := pgwire.Header(b)
			if length < 4 || length+1 > len(b) {
				t.Fatalf("not a message: %q", b)
			}
			if typ == pgwire.MsgReadyForQuery {
				answered++
			}
			b = b[length+1:]
		}
		if answered > asked {
			t.Fatalf("%d times ready for %d requests", answered, asked)
		}
	})
}

// requests counts the whole messages of in that ask for ReadyForQuery.
func requests(in []byte) (n int) {
	for len(in) >= pgwire.HeaderSize {
		typ, length, err := pgwire.ClientHeader(in)
		if err != nil || length+1 > len(in) {
			return n
		}
		if typ == pgwire.MsgQuery || typ == pgwire.MsgSync {
			n++
		}
		in = in[length+1:]
	}
	return n
}
