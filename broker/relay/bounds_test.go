package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/pgwire"
)

// servedBy gives a Server whose peer is in the hands of the test, and a channel that is closed when
// its reader has ended.
func servedBy(t *testing.T, cfg ServerConfig) (s *Server, peer net.Conn, ended <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg.Conn, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if peer, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	cfg.Ended = func() { close(done) }
	s = NewServer(cfg)
	t.Cleanup(func() { s.Close(); peer.Close(); <-done })
	return s, peer, done
}

// TestServerMayNotReportWithoutEnd: a server that reports ever new settings loses its connection, not
// the broker its memory.
func TestServerMayNotReportWithoutEnd(t *testing.T) {
	s, peer, ended := servedBy(t, ServerConfig{})
	for i := range 10 * maxParams {
		if _, err := peer.Write(pgwire.AppendParameterStatus(nil, fmt.Sprint("x.", i), "y")); err != nil {
			break // it has hung up
		}
	}
	<-ended
	if n := len(s.params.list()); !s.Lost() || n > maxParams {
		t.Errorf("lost %v, %d settings kept; want true, at most %d", s.Lost(), n, maxParams)
	}
}

// TestServerMayNotAnswerWithoutEnd: rows that the broker's own statement was not expected to return
// are counted, not kept.
func TestServerMayNotAnswerWithoutEnd(t *testing.T) {
	s, peer, _ := servedBy(t, ServerConfig{})
	go func() { // ends with the answer
		var head [5]byte
		io.ReadFull(peer, head[:])
		io.CopyN(io.Discard, peer, int64(binary.BigEndian.Uint32(head[1:]))-4)
		value := string(make([]byte, 16<<10))
		row := pgwire.AppendDataRow(nil, []*string{&value})
		peer.Write(pgwire.AppendRowDescription(nil, []pgwire.Column{{Name: "x", Type: 25, Size: -1}}))
		for range 100 {
			peer.Write(row)
		}
		peer.Write(pgwire.AppendReadyForQuery(pgwire.AppendCommandComplete(nil, "SELECT 100"), 'I'))
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reply, err := s.Exec(ctx, "SELECT 1")
	if err != nil || len(reply.Values) != maxValues || reply.Tag != "SELECT 100" {
		t.Errorf("got %d values, tag %q, error %v; want %d, SELECT 100", len(reply.Values), reply.Tag, err, maxValues)
	}
}

// TestPanicOverAMessageEndsItsConnection: and nothing else. The panic is that of a callback in the
// middle of a message's accounting, with the lock held.
func TestPanicOverAMessageEndsItsConnection(t *testing.T) {
	s, peer, ended := servedBy(t, ServerConfig{
		Params: []pgwire.Param{{Name: "in_hot_standby", Value: "off"}},
		Noticed: func(e Event) {
			if e.Kind != Lost {
				panic("a bug")
			}
		},
	})
	peer.Write(pgwire.AppendParameterStatus(nil, "in_hot_standby", "on"))
	<-ended
	if !s.Lost() {
		t.Error("the connection goes on after a panic over its bytes")
	}
}

// lent leases s from a pool of its own; given waits until the pool has the slot back.
func lent(t *testing.T, s *Server) (lease pool.Lease[*Server], given func()) {
	t.Helper()
	pools, err := pool.New(pool.Config[*Server]{Dial: func(context.Context, pool.Key) (*Server, error) { return s, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pools.Close() })
	lease, err = pools.Asker(pool.Request{Limits: pool.Limits{Size: 1, WaitTimeout: time.Minute}}).Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return lease, func() {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); pools.Stats()[0].Active+pools.Stats()[0].Closing > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the connection is still lent: %+v", pools.Stats()[0])
			}
		}
	}
}

// deaf is a client to whom a write panics.
type deaf struct{ net.Conn }

func (deaf) Write([]byte) (int, error) { panic("a bug") }

// TestPanicOfTheReaderEndsItsSession: one that forwards to a client takes that client and the server
// connection with it, is told, and is nobody else's.
func TestPanicOfTheReaderEndsItsSession(t *testing.T) {
	told := make(chan any, 1)
	s, peer, ended := servedBy(t, ServerConfig{Panicked: func(value any, stack []byte) {
		if !bytes.Contains(stack, []byte("deaf")) {
			t.Errorf("the stack does not show where:\n%s", stack)
		}
		told <- value
	}})
	lease, given := lent(t, s)
	client, far := net.Pipe()
	defer client.Close()
	session := New(Config{Client: deaf{client}, Mode: SessionMode, Server: s, Lease: lease})
	done := make(chan *Result, 1)
	go func() {
		defer func() { recover() }() // its last words to that client panic, too: the broker's affair
		done <- session.Run()
	}()
	far.Write(pgwire.AppendQuery(nil, "select 1"))
	if _, _, err := readMessage(peer); err != nil { // before it was asked, an answer is only the end of a bad server
		t.Fatal(err)
	}
	peer.Write(pgwire.AppendReadyForQuery(pgwire.AppendCommandComplete(nil, "SELECT 0"), 'I'))
	<-ended
	if got := <-told; got != "a bug" || !s.Lost() {
		t.Errorf("told %v, lost %v", got, s.Lost())
	}
	given()
}

// TestPanicWithTheLockTaken: the lock is free again, so that the session can see that its server is gone.
func TestPanicWithTheLockTaken(t *testing.T) {
	for _, taken := range []bool{true, false} {
		s, _, ended := servedBy(t, ServerConfig{})
		func() {
			defer s.survive()
			if taken {
				s.mu.Lock()
			}
			panic("a bug")
		}()
		<-ended
		if !s.Lost() { // takes the lock
			t.Errorf("lock taken %v: the connection goes on", taken)
		}
	}
}

// panicking is a client whose bytes make the session panic.
type panicking struct{ net.Conn }

func (panicking) Read([]byte) (int, error) { panic("a bug") }

// TestPanicGivesTheServerConnectionBack: the slot in the pool is free again, and the backend gone.
func TestPanicGivesTheServerConnectionBack(t *testing.T) {
	s, peer, ended := servedBy(t, ServerConfig{})
	lease, given := lent(t, s)
	client, _ := net.Pipe()
	defer client.Close()
	session := New(Config{Client: panicking{client}, Mode: SessionMode, Server: s, Lease: lease})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed: nobody would log it")
			}
		}()
		session.Run()
	}()
	<-ended
	if _, err := io.Copy(io.Discard, peer); err != nil {
		t.Errorf("the backend reads %v, want its client's end", err)
	}
	given()
}
