package relay

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/pool"
)

// unread is a server's socket whose reader is not scheduled: it has not seen yet what has arrived.
type unread struct {
	net.Conn
	arrived atomic.Bool
	goOn    chan struct{}
}

func (c *unread) Read(b []byte) (int, error) {
	<-c.goOn
	return c.Conn.Read(b)
}

func (c *unread) Pending() bool { return c.arrived.Load() }

// ends has something arrive on a connection that is lent.
func ends(l Lease) { l.Server().Conn.(*unread).arrived.Store(true) }

// W66: a connection whose end has arrived is not lent again, however short a time ago it was given back and
// whether or not its reader knows of it: nothing was sent on it, so that no client has to pay for that.
func TestW66LooksBeforeEveryLease(t *testing.T) {
	goOn := make(chan struct{})
	pools, err := pool.New(pool.Config[*Server]{Dial: func(context.Context, pool.Key) (*Server, error) {
		near, _ := pair(t)
		return NewServer(ServerConfig{Conn: &unread{Conn: near, goOn: goOn}}), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer pools.Close()
	defer close(goOn)
	limits := pool.Limits{Size: 1, WaitTimeout: time.Minute}
	asker := pools.Asker(pool.Request{Limits: limits})
	first, err := asker.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ends(first)
	first.Release()
	second, err := asker.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if second.Server() == first.Server() {
		t.Error("a connection that has ended was lent at once when it came back")
	}

	next := make(chan *Server, 1) // of somebody who waits for it
	go func() {
		lease, err := pools.Asker(pool.Request{Limits: limits}).Acquire(t.Context())
		if err != nil {
			t.Error(err)
		}
		next <- lease.Server()
	}()
	for pools.Stats()[0].Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	ends(second)
	second.Release()
	if <-next == second.Server() {
		t.Error("a connection that has ended was handed to whoever waited for it")
	}
}
