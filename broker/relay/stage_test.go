package relay

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/pgwire"
)

// patience is the limit of what no test waits for.
const patience = time.Minute

// stop is a place where a goroutine has stopped, as when its thread is not scheduled, until it is let go.
type stop struct {
	came, goOn chan struct{}
	once       sync.Once
}

// newStop makes one that the end of the test lets go.
func newStop(t *testing.T) *stop {
	s := &stop{came: make(chan struct{}), goOn: make(chan struct{})}
	t.Cleanup(s.letGo)
	return s
}

func (s *stop) here() {
	if s != nil {
		close(s.came)
		<-s.goOn
	}
}

func (s *stop) letGo() { s.once.Do(func() { close(s.goOn) }) }

// stopping is a socket whose Write stops, once, when its bytes have been sent.
type stopping struct {
	net.Conn
	t *testing.T

	mu       sync.Mutex
	after    *stop
	deadline time.Time // of writes

	arrived atomic.Bool // something that was not read yet, as Pending says
}

func (c *stopping) Pending() bool { return c.arrived.Load() }

func (c *stopping) SetWriteDeadline(end time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = end
	return c.Conn.SetWriteDeadline(end)
}

func (c *stopping) writeDeadline() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline
}

// afterWrite is where the next Write stops when it has sent its bytes.
func (c *stopping) afterWrite() *stop {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.after = newStop(c.t)
	return c.after
}

func (c *stopping) Write(b []byte) (int, error) {
	c.mu.Lock()
	after := c.after
	c.after = nil
	c.mu.Unlock()
	n, err := c.Conn.Write(b)
	after.here()
	return n, err
}

// farEnd is a server connection of a stage: the broker's end, and the peer's, which is the test's.
type farEnd struct {
	conn *stopping
	peer net.Conn
	of   *Server
}

// stage is a session before a pool, all of whose peers are the test's.
type stage struct {
	t       *testing.T
	size    int
	pools   *pool.Pools[*Server]
	dialled chan *farEnd

	// What a test may put something else for, before open.
	acquire func(context.Context) (Lease, error)
	noticed func(Event)
	cancel  func(context.Context) error

	session *Session
	near    *stopping
	client  net.Conn
	result  chan *Result
}

// stageParams are what its servers report, and the client was told.
var stageParams = []pgwire.Param{{Name: "in_hot_standby", Value: "off"}}

// newStage opens the pool, of so many connections.
func newStage(t *testing.T, size int) *stage {
	t.Helper()
	g := &stage{t: t, dialled: make(chan *farEnd, 8), result: make(chan *Result, 1), size: size, noticed: func(Event) {}}
	g.cancel = func(context.Context) error { t.Error("a cancel request is sent"); return nil }
	var readers sync.WaitGroup
	pools, err := pool.New(pool.Config[*Server]{Dial: func(context.Context, pool.Key) (*Server, error) {
		near, far := pair(t)
		readers.Add(1)
		b := &farEnd{conn: &stopping{Conn: near, t: t}, peer: far}
		b.of = NewServer(ServerConfig{
			Conn: b.conn, Params: stageParams, Ended: readers.Done,
			Noticed: func(e Event) { g.noticed(e) },
			Cancel:  func(ctx context.Context) error { return g.cancel(ctx) },
		})
		g.dialled <- b
		return b.of, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	g.pools = pools
	g.acquire = g.asker().Acquire
	t.Cleanup(func() { pools.Close(); readers.Wait() })
	return g
}

// asker is one more session before the pool.
func (g *stage) asker() *pool.Asker[*Server] {
	return g.pools.Asker(pool.Request{Limits: pool.Limits{Size: g.size, WaitTimeout: patience}})
}

// open begins the session, which holds a connection from the start in session mode.
func (g *stage) open(cfg Config) *farEnd {
	g.t.Helper()
	var first *farEnd
	near, client := pair(g.t)
	g.near, g.client = &stopping{Conn: near, t: g.t}, client
	cfg.Client, cfg.Acquire, cfg.Statements, cfg.Told = g.near, g.acquire, NewStatements(), stageParams
	cfg.ResetTimeout, cfg.CancelTimeout = patience, patience
	if cfg.Mode == SessionMode {
		lease, err := g.acquire(g.t.Context())
		if err != nil {
			g.t.Fatal(err)
		}
		first = <-g.dialled
		cfg.Server, cfg.Lease = lease.Server(), lease
	}
	g.session = New(cfg)
	var running sync.WaitGroup
	running.Go(func() { g.result <- g.session.Run() })
	g.t.Cleanup(func() { client.Close(); running.Wait() })
	return first
}

// ask sends a request of the client's.
func (g *stage) ask(b []byte) {
	g.t.Helper()
	if _, err := g.client.Write(b); err != nil {
		g.t.Fatal(err)
	}
}

// hears makes sure that the backend is asked for something, and answers.
func (b *farEnd) hears(t *testing.T, typ byte, answer []byte) {
	t.Helper()
	if got, body, err := readMessage(b.peer); err != nil || got != typ {
		t.Fatalf("the server is sent %q %q, %v; want %q", got, body, err, typ)
	}
	b.says(t, answer)
}

// waitWritten waits until the client's half has done with its write to the backend.
func (b *farEnd) waitWritten(t *testing.T) {
	t.Helper()
	waitFor(t, "the end of a write", func() bool {
		b.of.mu.Lock()
		defer b.of.mu.Unlock()
		return !b.of.writing
	})
}

// waitFor waits until holds says yes.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

func (b *farEnd) says(t *testing.T, answer []byte) {
	t.Helper()
	if _, err := b.peer.Write(answer); err != nil {
		t.Fatal(err)
	}
}

// reads is what the client reads, as type and SQLSTATE or tag, until it has read a message of type last or a
// FATAL, or all for 0.
func (g *stage) reads(last byte) (list []string) {
	g.t.Helper()
	for {
		typ, body, err := readMessage(g.client)
		if err == io.EOF {
			return append(list, "EOF")
		}
		if err != nil {
			g.t.Fatalf("%v behind %v", err, list)
		}
		switch typ {
		case pgwire.MsgErrorResponse:
			e := parseError(body)
			if e.Severity == pgwire.Fatal && last != 0 {
				typ = last // no other will come
			}
			list = append(list, "E "+string(e.Severity)+" "+e.Code+" "+e.Message)
		case pgwire.MsgCommandComplete, pgwire.MsgReadyForQuery:
			list = append(list, string(typ)+" "+strings.TrimRight(string(body), "\x00"))
		default:
			list = append(list, string(typ))
		}
		if typ == last {
			return list
		}
	}
}

func (g *stage) wantReads(last byte, want ...string) {
	g.t.Helper()
	if got := g.reads(last); !slices.Equal(got, want) {
		g.t.Fatalf("the client reads %q, want %q", got, want)
	}
}

// hangUp closes the client's socket behind a session that has ended, as its owner does, and returns its result.
func (g *stage) hangUp() *Result {
	r := <-g.result
	g.near.Close()
	return r
}
