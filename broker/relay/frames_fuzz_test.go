package relay

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
)

// teller keeps what an Observer is told, without the times.
type teller struct{ told []string }

func (*teller) Start(context.Context, []*Statement) error { return nil }

func (k *teller) Done(s *Statement) {
	told := *s
	told.Queue, told.Exec, told.At = 0, 0, time.Time{}
	k.told = append(k.told, fmt.Sprintf("%+v", told))
}

func (k *teller) Copied(c *Copy) {
	told := *c
	told.Exec = 0
	k.told = append(k.told, fmt.Sprintf("%+v", told))
}

// played is what came of two scripts.
type played struct {
	ToServer, ToClient []byte
	ClientEnd          string
	ServerEnd          string
	Ledger             string
	Params             []pgwire.Param
	Counts             string
	Told               []string
}

// playScripts relays a client's and then a server's bytes in session mode, without goroutines. room is the
// size of the buffer that the server's are read into.
func playScripts(t *testing.T, client, server *fakepg.Script, room int, detail Detail) played {
	watcher := &teller{}
	backend := &Server{ServerConfig: ServerConfig{Conn: server, Panicked: func(value any, stack []byte) {
		t.Fatalf("panic: %v\n%s", value, stack)
	}}, buf: make([]byte, room), whole: room}
	backend.ledger.tx = 'I'
	s := New(Config{Client: client, Mode: SessionMode, Server: backend, Observer: watcher, Detail: detail})
	var p played
	for p.ClientEnd == "" {
		b, err := s.in.next()
		if len(b) > 0 {
			if fault := s.request(b); fault != nil {
				p.ClientEnd = fault.Error()
				break
			}
		}
		if err != nil {
			p.ClientEnd = err.Error()
		}
	}
	p.ToServer = append(p.ToServer, server.Heard...)
	backend.read()
	s.watch.over(&Result{})
	p.ToClient, p.ServerEnd, p.Params, p.Told = client.Heard, backend.lost.Error(), backend.params.list(), watcher.told
	l := &backend.ledger
	p.Ledger = fmt.Sprint(l.seq, l.mine, string(l.tx), l.open, l.skip, l.copy, l.ends, l.sealed, l.maybe, l.doubt, l.loose, l.owed, l.syncAt, l.cut)
	p.Counts = fmt.Sprint(s.statements.Load(), s.errors.Load(), s.rows.Load(), s.out.sent.Load())
	return p
}

// framed is what a server is sent of a client's bytes: all messages up to the first that ends the
// session, and of one that is cut off what has come of it, once it can be told what it is.
func framed(b []byte) (sent []byte, end error) {
	for len(b) >= headerSize {
		typ, length, err := pgwire.ClientHeader(b)
		switch {
		case err != nil:
			return sent, err
		case typ == pgwire.MsgTerminate:
			return sent, errGoodbye
		case typ == pgwire.MsgDescribe && len(b) < min(length+1, headerSize+1):
			return sent, io.EOF
		}
		n := min(length+1, len(b))
		sent, b = append(sent, b[:n]...), b[n:]
	}
	return sent, io.EOF
}

// unfenced takes out the fences that are the broker's own.
func unfenced(b []byte) (out []byte) {
	fence := pgwire.AppendEmpty(pgwire.AppendClose(nil, 'S', (*Server)(nil).unusedName()), pgwire.MsgSync)
	for len(b) > 0 {
		if len(b) >= len(fence) && string(b[:len(fence)]) == string(fence) {
			b = b[len(fence):]
			continue
		}
		n := len(b)
		if n >= headerSize {
			if _, length := pgwire.Header(b); length >= 4 {
				n = min(n, length+1)
			}
		}
		out, b = append(out, b[:n]...), b[n:]
	}
	return out
}

// W31, W32, W61: into whatever pieces the network cuts what two peers say, the server is sent the
// client's messages as they came, the client the server's, and the account of them is the same.
func FuzzFrames(f *testing.F) {
	login := message(pgwire.MsgParameterStatus, "TimeZone\x00UTC\x00")
	for _, pieces := range [][]byte{{}, {0}, {3, 0, 1}, {6, 40}} {
		f.Add(simpleRequest, simpleReply, pieces, byte(0))
		f.Add(flow(prepareRequest, boundRequest), flow(prepareReply, login, boundReply), pieces, byte(40))
		f.Add(flow(message('Q', "copy t from stdin\x00"), message('d', "1\n"), message('c', ""), message('S', ""), message('X', "")),
			flow(message('G', "\x00\x00\x01\x00\x00"), message('C', "COPY 1\x00"), message('Z', "I"), message('Z', "I")), pieces, byte(8))
		f.Add(message('F', "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"), flow(message('V', "\x00\x00\x00\x00"), message('Z', "T")), pieces, byte(0))
		f.Add(message('Q', "raise\x00"), flow(message('E', "SERROR\x00VERROR\x00CP0001\x00Mthis is longer than the buffer, by far, and then some\x00\x00"),
			message('Z', "I"), message('E', "SFATAL\x00VFATAL\x00C57P01\x00Mbye\x00\x00")), pieces, byte(1))
		f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), []byte("HTTP/1.1 400\r\n\r\n"), pieces, byte(0))
	}
	f.Fuzz(func(t *testing.T, asks, answers, pieces []byte, room byte) {
		size := 64 + int(room)
		for _, detail := range []Detail{DetailNone, DetailStatements, DetailFull} {
			client, server := &fakepg.Script{Says: asks}, &fakepg.Script{Says: answers}
			whole := playScripts(t, client, server, size, detail)
			got := playScripts(t, &fakepg.Script{Says: asks, Cuts: pieces}, &fakepg.Script{Says: answers, Cuts: pieces}, size, detail)
			if diff := cmp.Diff(whole, got); diff != "" {
				t.Fatalf("detail %d: in pieces of %v (+) it is another thing than whole (-):\n%s", detail, pieces, diff)
			}
			if detail != DetailNone {
				continue // what is inspected is not sent before it is there
			}
			want, end := framed(asks)
			if diff := cmp.Diff(unfenced(want), unfenced(got.ToServer)); diff != "" {
				t.Fatalf("the server is sent:\n%s", diff)
			}
			if got.ClientEnd != end.Error() {
				t.Fatalf("the client's side ends in %q, want %q", got.ClientEnd, end)
			}
		}
	})
}
