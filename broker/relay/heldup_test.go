package relay

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/pgwire"
)

// pair is both ends of a loopback connection.
func pair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// readMessage reads one message with a header.
func readMessage(c net.Conn) (typ byte, body []byte, err error) {
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(c, head); err != nil {
		return 0, nil, err
	}
	typ, length := pgwire.Header(head)
	body = make([]byte, length-4)
	_, err = io.ReadFull(c, body)
	return typ, body, err
}

// slowReturn is a socket whose Write has delivered its bytes long before it returns, as when the goroutine is not
// scheduled again. One without channels is not slow.
type slowReturn struct {
	net.Conn
	wrote chan struct{} // a write has been delivered
	goOn  chan struct{} // it may return
	ended atomic.Bool   // something has arrived that its reader has not read
}

func slow(c net.Conn) *slowReturn {
	return &slowReturn{Conn: c, wrote: make(chan struct{}), goOn: make(chan struct{})}
}

func (c *slowReturn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if c.wrote != nil {
		c.wrote <- struct{}{}
		<-c.goOn
	}
	return n, err
}

func (c *slowReturn) Pending() bool { return c.ended.Load() }

// scene is a client in transaction mode, which the test plays, and two servers, which answer each Query with a tag
// that tells their number.
type scene struct {
	t       *testing.T
	pools   *pool.Pools[*Server]
	session *Session
	client  net.Conn         // the client's end
	near    *slowReturn      // the relay's end of that
	servers [2]*slowReturn   // the relay's ends
	far     [2]net.Conn      // the servers'
	behind  [2]func() []byte // what a server says in one go with its next answer
	asked   atomic.Int64
	wait    sync.WaitGroup
}

// startScene starts the session; near is whether its writes to the client are slow, far those to the first server.
func startScene(t *testing.T, near, far bool) *scene {
	s := &scene{t: t}
	for i := range s.servers {
		relays, server := pair(t)
		s.servers[i], s.far[i] = &slowReturn{Conn: relays}, server
	}
	relays, client := pair(t)
	s.near, s.client = &slowReturn{Conn: relays}, client
	if near {
		s.near = slow(relays)
	}
	if far {
		s.servers[0] = slow(s.servers[0].Conn)
	}
	var dialed atomic.Int64
	pools, err := pool.New(pool.Config[*Server]{Dial: func(context.Context, pool.Key) (*Server, error) {
		n := dialed.Add(1)
		s.wait.Go(func() { s.answerQueries(int(n)) })
		return NewServer(ServerConfig{ID: uint64(n), Conn: s.servers[n-1]}), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	acquire := pools.Asker(pool.Request{Limits: pool.Limits{Size: 2, WaitTimeout: time.Minute}}).Acquire
	lease, err := acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.pools = pools
	s.session = New(Config{
		Client: s.near, Mode: TransactionMode, Server: lease.Server(), Lease: lease, Acquire: acquire,
		Statements: NewStatements(), ResetTimeout: time.Minute, CancelTimeout: time.Minute,
	})
	s.wait.Go(func() {
		s.session.Run()
		s.near.Close()
	})
	return s
}

// answerQueries answers every Query, until the server's connection ends.
func (s *scene) answerQueries(number int) {
	c := s.far[number-1]
	for {
		switch typ, _, err := readMessage(c); {
		case err != nil:
			return
		case typ == pgwire.MsgQuery:
			s.asked.Add(1)
			all := flow(message(pgwire.MsgCommandComplete, fmt.Sprintf("SELECT %d\x00", number)), message(pgwire.MsgReadyForQuery, "I"))
			if more := s.behind[number-1]; more != nil {
				all = append(all, more()...)
			}
			c.Write(all)
		}
	}
}

func (s *scene) ask() {
	s.t.Helper()
	if _, err := s.client.Write(simpleRequest); err != nil {
		s.t.Fatal(err)
	}
}

// tag reads an answer.
func (s *scene) tag() string {
	s.t.Helper()
	_, body, err := readMessage(s.client)
	if err != nil {
		s.t.Fatal(err)
	}
	if typ, _, err := readMessage(s.client); err != nil || typ != pgwire.MsgReadyForQuery {
		s.t.Fatalf("%q, %v, want ReadyForQuery", typ, err)
	}
	return string(body[:len(body)-1])
}

// end closes the client and waits for everything.
func (s *scene) end() {
	s.client.Close()
	for _, c := range s.servers {
		c.Close()
	}
	s.pools.Close()
	s.wait.Wait()
}

// lastWordsOf is what PostgreSQL says when it is shut down.
func lastWordsOf() []byte {
	return pgwire.AppendError(nil, &pgwire.Error{
		Severity: pgwire.Fatal, Code: "57P01", Message: "terminating connection due to administrator command",
	})
}

// W70: a connection that is retired while its session has it serves that session's next transaction
// no more, even when the client is faster than the reader that let it have the last answer.
func TestW70RetiredConnectionIsLeft(t *testing.T) {
	s := startScene(t, true, false)
	s.ask()
	<-s.near.wrote
	if got := s.tag(); got != "SELECT 1" {
		t.Fatalf("%s, want the first server", got)
	}
	s.pools.Retire(0, func(pool.ServerInfo[*Server]) bool { return true })
	s.ask()
	waitFor(t, "the second request to wait or go on", func() bool { return s.session.awaiting.Load() || s.asked.Load() >= 2 })
	s.near.goOn <- struct{}{}
	<-s.near.wrote
	if got := s.tag(); got != "SELECT 2" {
		t.Errorf("%s after the connection was retired, want another server", got)
	}
	s.near.goOn <- struct{}{}
	s.end()
}

// W68: a client that has all its answers does not notice that its server ends, wherever the relay is held up: in
// its write of the request, in that of the answer, or with both the answer and the server's last words in hand.
func TestW68EndAfterTheAnswerIsNotNoticed(t *testing.T) {
	t.Run("in the write of the request", func(t *testing.T) {
		s := startScene(t, false, true)
		s.ask()
		<-s.servers[0].wrote
		if got := s.tag(); got != "SELECT 1" {
			t.Fatal(got)
		}
		s.far[0].Write(lastWordsOf())
		s.far[0].Close()
		waitFor(t, "the end of the server to be seen", s.session.held().Lost)
		s.servers[0].goOn <- struct{}{}
		s.ask()
		if got := s.tag(); got != "SELECT 2" {
			t.Error(got)
		}
		s.end()
	})
	t.Run("in the write of the answer", func(t *testing.T) {
		s := startScene(t, true, false)
		s.ask()
		<-s.near.wrote
		if got := s.tag(); got != "SELECT 1" {
			t.Fatal(got)
		}
		s.far[0].Write(lastWordsOf())
		s.far[0].Close()
		s.servers[0].ended.Store(true)
		s.ask()
		waitFor(t, "the second request to wait or go on", func() bool { return s.session.awaiting.Load() || s.session.statements.Load() == 2 })
		s.near.goOn <- struct{}{}
		<-s.near.wrote
		if got := s.tag(); got != "SELECT 2" {
			t.Error(got)
		}
		s.near.goOn <- struct{}{}
		s.end()
	})
	t.Run("with the answer", func(t *testing.T) {
		s := startScene(t, false, false)
		s.behind[0] = lastWordsOf
		for _, want := range []string{"SELECT 1", "SELECT 2"} {
			s.ask()
			if got := s.tag(); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		s.end()
	})
}
