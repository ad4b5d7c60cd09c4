package relay

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/pgwire"
)

// A client that sends without end behind a statement that takes long is held back, as by a socket that is full;
// whatever it has sent is answered, and each of its statements told of, once the server comes to it.
func TestRequestsWithoutAnswersAreBounded(t *testing.T) {
	for _, mode := range []Mode{SessionMode, TransactionMode} {
		near, far := pair(t)
		client, mine := pair(t)
		server := NewServer(ServerConfig{ID: 1, Conn: near})
		pools, err := pool.New(pool.Config[*Server]{Dial: func(context.Context, pool.Key) (*Server, error) { return server, nil }})
		if err != nil {
			t.Fatal(err)
		}
		acquire := pools.Asker(pool.Request{Limits: pool.Limits{Size: 1, WaitTimeout: time.Minute}}).Acquire
		lease, err := acquire(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		to := &outcomes{}
		session := New(Config{
			Client: mine, Mode: mode, Server: server, Lease: lease, Acquire: acquire, Statements: NewStatements(), Observer: to, Detail: DetailStatements,
			ResetTimeout: time.Minute, CancelTimeout: time.Minute,
		})
		var running sync.WaitGroup
		running.Go(func() { session.Run() })
		const requests = 3 * maxOwed / 2
		one := message(pgwire.MsgClose, "Pp\x00")
		running.Go(func() { client.Write(append(bytes.Repeat(one, requests), simpleRequest...)) })
		owed, most := 0, maxOwed+clientBuffer/len(one)+1
		for !session.awaiting.Load() && owed <= most {
			time.Sleep(time.Millisecond)
			server.mu.Lock()
			owed = server.ledger.fifo.size
			server.mu.Unlock()
		}
		if owed > most {
			t.Errorf("%v: %d requests await their answers, want %d at most", mode, owed, most)
		}
		running.Go(func() { answerAll(far) })
		for got := 0; ; got++ {
			typ, _, err := readMessage(client)
			if err != nil {
				t.Fatal(err)
			}
			if typ == pgwire.MsgReadyForQuery {
				if got != requests+1 {
					t.Errorf("%v: %d answers, want %d", mode, got, requests+1)
				}
				break
			}
		}
		if told := to.told(); told == "" {
			t.Errorf("%v: nobody was told of the statement", mode)
		}
		client.Close()
		far.Close()
		running.Wait()
		pools.Close()
	}
}

// answerAll answers each Close and Query until c ends.
func answerAll(c net.Conn) {
	for {
		switch typ, _, err := readMessage(c); {
		case err != nil:
			return
		case typ == pgwire.MsgClose:
			c.Write(message(pgwire.MsgCloseComplete, ""))
		case typ == pgwire.MsgQuery:
			c.Write(flow(message(pgwire.MsgCommandComplete, "SELECT 1\x00"), message(pgwire.MsgReadyForQuery, "I")))
		}
	}
}
