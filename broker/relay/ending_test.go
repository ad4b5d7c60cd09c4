package relay

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
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

// stopping is a socket whose Write stops, once, before its bytes are sent or when they have been.
type stopping struct {
	net.Conn
	t *testing.T

	mu            sync.Mutex
	before, after *stop
}

// beforeWrite is where the next Write stops before it has sent anything; afterWrite, when it has sent all.
func (c *stopping) beforeWrite() *stop { return c.arm(&c.before) }
func (c *stopping) afterWrite() *stop  { return c.arm(&c.after) }

func (c *stopping) arm(at **stop) *stop {
	c.mu.Lock()
	defer c.mu.Unlock()
	*at = newStop(c.t)
	return *at
}

func (c *stopping) Write(b []byte) (int, error) {
	c.mu.Lock()
	before, after := c.before, c.after
	c.before, c.after = nil, nil
	c.mu.Unlock()
	before.here()
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
	pools   *pool.Pools[*Server]
	acquire func(context.Context) (Lease, error)
	dialled chan *farEnd
	noticed func(Event)

	session *Session
	near    *stopping
	client  net.Conn
	result  chan *Result
}

// stageParams are what its servers report, and the client was told.
var stageParams = []pgwire.Param{{Name: "in_hot_standby", Value: "off"}}

// newStage opens the pool, of two connections.
func newStage(t *testing.T) *stage {
	t.Helper()
	g := &stage{t: t, dialled: make(chan *farEnd, 8), result: make(chan *Result, 1), noticed: func(Event) {}}
	var readers sync.WaitGroup
	pools, err := pool.New(pool.Config[*Server]{Dial: func(context.Context, pool.Key) (*Server, error) {
		near, far := pair(t)
		readers.Add(1)
		b := &farEnd{conn: &stopping{Conn: near, t: t}, peer: far}
		b.of = NewServer(ServerConfig{
			Conn: b.conn, Params: stageParams, Ended: readers.Done,
			Noticed: func(e Event) { g.noticed(e) },
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
	return g.pools.Asker(pool.Request{Limits: pool.Limits{Size: 2, WaitTimeout: patience}})
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

// reads is what the client reads, as type and SQLSTATE or tag, until it has read a message of type last, or all.
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

// Messages that servers say.
var (
	goodbye   = pgwire.AppendError(nil, &pgwire.Error{Severity: pgwire.Fatal, Code: "57P01", Message: "the server's"})
	selectOne = flow(message('C', "SELECT 1\x00"), message('Z', "I"))
)

// killed is an end that the broker decides.
var killed = End{Reason: "killed", Tell: &pgwire.Error{Severity: pgwire.Fatal, Code: "57P01", Message: "the broker's", Slug: "killed"}}

// W67: where the server and the broker end a session at the same instant, its client reads one FATAL, whichever was
// the first, and it is that one which the result and the record of the statement under way have.
func TestW67OneLastWord(t *testing.T) {
	for _, mode := range []Mode{SessionMode, TransactionMode} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Run("the server's is being forwarded", func(t *testing.T) {
				g, watcher := newStage(t), &keeper{}
				b := g.open(Config{Mode: mode, Observer: watcher, Detail: DetailStatements})
				g.ask(simpleRequest)
				if b == nil {
					b = <-g.dialled
				}
				at := g.near.afterWrite()
				b.hears(t, pgwire.MsgQuery, goodbye)
				<-at.came
				g.session.End(killed)
				at.letGo()
				r := g.hangUp()
				g.wantReads(0, "E FATAL 57P01 the server's", "EOF")
				wantEnd(t, r, watcher, UpstreamClosed, "the server's")
			})
			t.Run("the broker's is said", func(t *testing.T) {
				g, watcher := newStage(t), &keeper{}
				at := newStop(t)
				g.noticed = func(e Event) {
					if e.Kind == PartChanged {
						at.here()
					}
				}
				b := g.open(Config{Mode: mode, Observer: watcher, Detail: DetailStatements})
				g.ask(simpleRequest)
				if b == nil {
					b = <-g.dialled
				}
				b.hears(t, pgwire.MsgQuery, nil)
				b.waitWritten(t) // the client's half needs the lock that the reader stops with no more
				b.says(t, flow(pgwire.AppendParameterStatus(nil, "in_hot_standby", "on"), goodbye))
				<-at.came // the reader has not come to the FATAL
				var ending sync.WaitGroup
				ending.Go(func() { g.session.End(killed) })
				g.wantReads(pgwire.MsgErrorResponse, "E FATAL 57P01 the broker's")
				at.letGo()
				ending.Wait()
				r := g.hangUp()
				g.wantReads(0, "EOF")
				wantEnd(t, r, watcher, killed.Reason, "the broker's")
			})
		})
	}
}

func wantEnd(t *testing.T, r *Result, watcher *keeper, reason Reason, text string) {
	t.Helper()
	if r.Reason != reason || r.Tell == nil || r.Tell.Message != text {
		t.Errorf("ended by %s %v, want %s with %s", r.Reason, r.Tell, reason, text)
	}
	if watcher.last.Message != text {
		t.Errorf("the statement is told as %+v, want one with %s", watcher.last, text)
	}
}

// W67: a FATAL of which a part has been forwarded is the last word, too; behind any other message the broker's is.
func TestW67OneLastWordBehindAPart(t *testing.T) {
	row := message('D', "\x00\x01\x00\x00\x00\x010")
	for _, tt := range []struct {
		name  string
		part  []byte
		fatal *pgwire.Error
		want  []byte
	}{
		{"FATAL", goodbye, parseError(goodbye[headerSize:]), goodbye},
		{"row", row, nil, flow(row, goodbye)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := &fakepg.Script{}
			w := &writer{conn: client}
			w.forward([][]byte{tt.part[:7]}, len(tt.part)-7, tt.fatal, nil)
			if w.finish(goodbye) {
				t.Fatal("the last words are said within a message")
			}
			w.forward([][]byte{tt.part[7:], row}, 0, tt.fatal, nil)
			if !w.done() || w.ending() != tt.fatal || !bytes.Equal(client.Heard, tt.want) {
				t.Errorf("done %v, the server's word %v, the client reads %q; want %q", w.done(), w.ending(), client.Heard, tt.want)
			}
		})
	}
}
