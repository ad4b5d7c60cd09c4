package relay

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// This file stops a thread of a session's at one place after the other, while something else happens there.

// at changes what the session's nth Acquire gives.
func (g *stage) at(nth int64, then func(Lease, error) (Lease, error)) {
	var n atomic.Int64
	acquire := g.acquire
	g.acquire = func(ctx context.Context) (Lease, error) {
		lease, err := acquire(ctx)
		if n.Add(1) == nth {
			return then(lease, err)
		}
		return lease, err
	}
}

// W68, W89: a connection that ends between the moment at which it is handed to a session and that at which the session
// takes it is no loss to the session: another one serves, and hears the request once.
func TestW68ConnectionThatEndsOnItsWayToTheSession(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(g *stage, b *farEnd)
	}{
		{"FATAL", func(g *stage, b *farEnd) { b.says(g.t, goodbye) }},
		{"FIN", func(_ *stage, b *farEnd) { b.peer.Close() }},
		{"closed by the broker", func(_ *stage, b *farEnd) { b.of.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, gone := newStage(t, 1), make(chan struct{})
			g.at(1, func(lease Lease, err error) (Lease, error) {
				first := <-g.dialled
				tt.end(g, first)
				for !first.of.Lost() {
					time.Sleep(time.Millisecond)
				}
				close(gone)
				return lease, err
			})
			g.open(Config{Mode: TransactionMode})
			g.ask(simpleRequest)
			<-gone
			(<-g.dialled).hears(t, pgwire.MsgQuery, selectOne)
			g.wantReads(pgwire.MsgReadyForQuery, "C SELECT 1", "Z I")
		})
	}
}

// A connection that has said FATAL, or is being closed, is taken by no session: it would end without a word.
func TestEndingConnectionIsNotTaken(t *testing.T) {
	for name, end := range map[string]func(*Server){
		"FATAL":   func(s *Server) { s.fatal = parseError(goodbye[headerSize:]) },
		"closing": func(s *Server) { s.closing.Store(true) },
		"lost":    func(s *Server) { s.lost = ErrServerLost },
	} {
		s := &Server{}
		end(s)
		if _, ok := s.link(&Session{}, Lease{}); ok {
			t.Errorf("%s: the connection is taken", name)
		}
	}
}

// W76: a client that is cancelled at the moment at which its request is handed a connection reads so; the connection,
// of which nobody has had anything, serves the next.
func TestW76CancelledAtTheHandOff(t *testing.T) {
	g := newStage(t, 1)
	taken := make(chan bool, 1)
	g.at(1, func(lease Lease, err error) (Lease, error) {
		was, cancelErr := g.session.Cancel(t.Context())
		taken <- was && cancelErr == nil
		return lease, err
	})
	g.open(Config{Mode: TransactionMode})
	g.ask(simpleRequest)
	if !<-taken {
		t.Error("there was nothing to cancel")
	}
	g.wantReads(pgwire.MsgReadyForQuery, "E ERROR 57014 canceling statement due to user request", "Z I")
	g.ask(simpleRequest)
	(<-g.dialled).hears(t, pgwire.MsgQuery, selectOne)
	g.wantReads(pgwire.MsgReadyForQuery, "C SELECT 1", "Z I")
}

// W90: a session that is drained ends at a boundary, or begins no other transaction: what a client has asked of a server
// is answered, whichever connection the session held when it was asked to end.
func TestW90DrainDoesNotMissTheNextTransaction(t *testing.T) {
	g := newStage(t, 2)
	at := newStop(t)
	g.at(2, func(lease Lease, err error) (Lease, error) {
		at.here()
		return lease, err
	})
	g.open(Config{Mode: TransactionMode})
	g.ask(simpleRequest)
	first := <-g.dialled
	first.hears(t, pgwire.MsgQuery, selectOne)
	g.wantReads(pgwire.MsgReadyForQuery, "C SELECT 1", "Z I")
	waitFor(t, "the connection to be released", func() bool { return g.pools.Stats()[0].Idle == 1 })
	lease, err := g.asker().Acquire(t.Context()) // the session's next is another one
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Destroy()
	g.ask(simpleRequest)
	<-at.came // with a connection that is not linked

	first.of.mu.Lock() // Drain stops where it looks at the connection that the session has left
	var draining sync.WaitGroup
	draining.Go(func() { g.session.Drain(killed) })
	time.Sleep(20 * time.Millisecond) // if it does not come there in time, it shows nothing
	at.letGo()
	asked := make(chan *farEnd, 1)
	go func() {
		second := <-g.dialled
		if _, _, err := readMessage(second.peer); err == nil {
			asked <- second
		}
	}()
	var second *farEnd
	select { // where Drain holds the session up, as it does, there is nothing to wait for
	case second = <-asked:
	case <-time.After(50 * time.Millisecond):
	}
	first.of.mu.Unlock()
	draining.Wait()
	if second != nil {
		second.says(t, selectOne)
		g.wantReads(pgwire.MsgReadyForQuery, "C SELECT 1", "Z I")
	}
	g.wantReads(pgwire.MsgErrorResponse, "E FATAL 57P01 the broker's")
	if r := g.hangUp(); r.Reason != killed.Reason {
		t.Errorf("ended by %s", r.Reason)
	}
}

// W74: a connection whose cancel request may or may not have arrived goes to nobody else, at no instant: the request
// counts as under way until the connection is closed.
func TestW74FailedCancelRequestKeepsItsConnection(t *testing.T) {
	g := newStage(t, 1)
	at := newStop(t)
	g.cancel = func(context.Context) error { at.here(); return errors.New("no answer") }
	g.open(Config{Mode: TransactionMode})
	g.ask(simpleRequest)
	first := <-g.dialled
	first.hears(t, pgwire.MsgQuery, nil)
	var cancelling sync.WaitGroup
	cancelling.Go(func() { g.session.Cancel(t.Context()) })
	<-at.came
	first.says(t, selectOne)
	g.wantReads(pgwire.MsgReadyForQuery, "C SELECT 1", "Z I")
	at.letGo()
	cancelling.Wait()
	first.of.mu.Lock()
	if first.of.cancels == 0 {
		t.Error("the connection could have been released before it was closed")
	}
	first.of.mu.Unlock()
	g.ask(simpleRequest)
	(<-g.dialled).hears(t, pgwire.MsgQuery, selectOne)
	g.wantReads(pgwire.MsgReadyForQuery, "C SELECT 1", "Z I")
}

// W73: a cancel request that comes while the last answer is being forwarded is for nothing that runs.
func TestW73CancelBehindTheAnswer(t *testing.T) {
	g := newStage(t, 1)
	g.open(Config{Mode: TransactionMode})
	g.ask(simpleRequest)
	at := g.near.afterWrite()
	(<-g.dialled).hears(t, pgwire.MsgQuery, selectOne)
	<-at.came
	if was, err := g.session.Cancel(t.Context()); was || err != nil {
		t.Errorf("cancelled %v, %v; want nothing to cancel", was, err)
	}
	at.letGo()
	g.wantReads(pgwire.MsgReadyForQuery, "C SELECT 1", "Z I")
}

// W96: who has written a reset and is not scheduled again does nothing to the connection's next session.
func TestW96ResetIsOverWithItsAnswer(t *testing.T) {
	g := newStage(t, 1)
	first := g.open(Config{Mode: SessionMode})
	at := first.conn.afterWrite()
	g.ask(pgwire.AppendEmpty(nil, pgwire.MsgTerminate))
	<-at.came
	first.hears(t, pgwire.MsgQuery, flow(message('C', "DISCARD ALL\x00"), message('Z', "I")))
	lease, err := g.asker().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Destroy()
	if first.of != lease.Server() || !first.conn.writeDeadline().IsZero() {
		t.Fatalf("the connection that was reset is not lent again, or with the deadline %v", first.conn.writeDeadline())
	}
	next := &Session{cfg: Config{Profile: &Profile{}}}
	if _, ok := first.of.link(next, lease); !ok {
		t.Fatal("the connection is not linked")
	}
	first.of.stopWriting(next) // its session is ended
	at.letGo()
	g.hangUp()
	if got := first.conn.writeDeadline(); !got.Equal(past) {
		t.Errorf("the deadline of the next session's write is %v, want it to be in the past", got)
	}
}

// W66, W68: a server that leaves when its last answer has been forwarded and before the connection has been released
// takes nobody with it: its client goes on, and so does who waits for the connection.
func TestW66FatalBetweenTheAnswerAndTheHandOff(t *testing.T) {
	g := newStage(t, 1)
	g.open(Config{Mode: TransactionMode})
	g.ask(simpleRequest)
	first := <-g.dialled
	at := g.near.afterWrite()
	first.hears(t, pgwire.MsgQuery, selectOne)
	<-at.came
	var waiting sync.WaitGroup
	waiting.Go(func() {
		lease, err := g.asker().Acquire(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		if lease.Server() == first.of {
			t.Error("who waits is handed a connection that is at its end")
		}
		lease.Release()
	})
	waitFor(t, "somebody to wait", func() bool { return g.pools.Stats()[0].Waiting == 1 })
	first.says(t, goodbye)
	first.peer.Close()
	first.conn.arrived.Store(true)
	at.letGo()
	g.wantReads(pgwire.MsgReadyForQuery, "C SELECT 1", "Z I")
	waiting.Wait()
	g.ask(simpleRequest)
	(<-g.dialled).hears(t, pgwire.MsgQuery, selectOne)
	g.wantReads(pgwire.MsgReadyForQuery, "C SELECT 1", "Z I")
}

// W90: Drain, which comes when the answer is there and the client's half is still in its write, ends the session behind
// the answer.
func TestW90DrainWithinAWrite(t *testing.T) {
	for _, mode := range []Mode{SessionMode, TransactionMode} {
		t.Run(mode.String(), func(t *testing.T) {
			g := newStage(t, 1)
			stopped := make(chan *stop, 1)
			var b *farEnd
			g.at(1, func(lease Lease, err error) (Lease, error) {
				b = <-g.dialled
				stopped <- b.conn.afterWrite()
				g.dialled <- b // open's, in session mode
				return lease, err
			})
			g.open(Config{Mode: mode})
			g.ask(simpleRequest)
			at := <-stopped
			<-at.came
			b.hears(t, pgwire.MsgQuery, selectOne)
			g.wantReads(pgwire.MsgReadyForQuery, "C SELECT 1", "Z I")
			g.session.Drain(killed)
			if g.session.end.Load() != nil {
				t.Error("the session is ended within a write")
			}
			at.letGo()
			g.wantReads(pgwire.MsgErrorResponse, "E FATAL 57P01 the broker's")
			g.hangUp()
		})
	}
}
