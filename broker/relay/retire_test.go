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

// answerQueries counts and answers every Query with a tag that tells the server's number, until c ends.
func answerQueries(c net.Conn, number int64, asked *atomic.Int64) {
	for {
		switch typ, _, err := readMessage(c); {
		case err != nil:
			return
		case typ == pgwire.MsgQuery:
			asked.Add(1)
			c.Write(flow(message(pgwire.MsgCommandComplete, fmt.Sprintf("SELECT %d\x00", number)), message(pgwire.MsgReadyForQuery, "I")))
		}
	}
}

// slowReturn is a client's socket whose Write has delivered its bytes long before it returns, as when
// the goroutine is not scheduled again.
type slowReturn struct {
	net.Conn
	wrote chan struct{} // a write has been delivered
	goOn  chan struct{} // it may return
}

func (c *slowReturn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.wrote <- struct{}{}
	<-c.goOn
	return n, err
}

// W70: a connection that is retired while its session has it serves that session's next transaction
// no more, even when the client is faster than the reader that let it have the last answer.
func TestW70RetiredConnectionIsLeft(t *testing.T) {
	var dialed, asked atomic.Int64
	var serving sync.WaitGroup
	pools, err := pool.New(pool.Config[*Server]{Dial: func(context.Context, pool.Key) (*Server, error) {
		near, far := pair(t)
		n := dialed.Add(1)
		serving.Go(func() { answerQueries(far, n, &asked) })
		return NewServer(ServerConfig{ID: uint64(n), Conn: near}), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	acquire := pools.Asker(pool.Request{Limits: pool.Limits{Size: 2, WaitTimeout: time.Minute}}).Acquire
	lease, err := acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	near, client := pair(t)
	slow := &slowReturn{Conn: near, wrote: make(chan struct{}), goOn: make(chan struct{})}
	session := New(Config{
		Client: slow, Mode: TransactionMode, Server: lease.Server(), Lease: lease, Acquire: acquire,
		Statements: NewStatements(), ResetTimeout: time.Minute, CancelTimeout: time.Minute,
	})
	var running sync.WaitGroup
	running.Go(func() { session.Run() })
	ask := func() {
		if _, err := client.Write(simpleRequest); err != nil {
			t.Fatal(err)
		}
	}
	tag := func() string {
		_, body, err := readMessage(client)
		if err != nil {
			t.Fatal(err)
		}
		readMessage(client)
		return string(body[:len(body)-1])
	}

	ask()
	<-slow.wrote
	if got := tag(); got != "SELECT 1" {
		t.Fatalf("%s, want the first server", got)
	}
	pools.Retire(0, func(pool.ServerInfo[*Server]) bool { return true })
	ask()
	for !session.awaiting.Load() && asked.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	slow.goOn <- struct{}{}
	<-slow.wrote
	if got := tag(); got != "SELECT 2" {
		t.Errorf("%s after the connection was retired, want another server", got)
	}
	slow.goOn <- struct{}{}

	client.Close()
	running.Wait()
	pools.Close()
	serving.Wait()
}
