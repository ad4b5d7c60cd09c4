package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// note is what a reply means beyond its place in the queue.
type note struct {
	// For a request of the broker's own: where its answer goes.
	reply *Reply
	done  chan struct{} // closed when the reply is complete or the connection lost; nil: nobody waits

	// For a request that concerns prepared statements; see action.
	action  action
	session *Session
	name    string // the client's
	st      *statement
	added   bool // st was entered as prepared on the server
	removed bool // st was taken out, because a Close of it was sent
	cleans  bool // DISCARD ALL: the dirt before it goes
	saved   map[string]named
	counted bool // in session.naming, until the reply is known

	// For a statement that changes state if it succeeds.
	unpins sqllex.Flags // pins that it ends
	closes string       // the cursor that it closes
	order  uint64       // its place among the statements of the connection
	change *change
	rebase []string // reported parameters that a replay takes back to their defaults

	refusal *pgwire.Error // action refused: what the client reads

	lifts       bool // it resets a read-only session, which a request behind it sets again
	mustSucceed bool // a replay: without it the requests behind it would run with wrong settings
	failed      bool // the server has answered with an error
	undone      bool // undo was called
}

// Reply is the answer to a request of the broker's own.
type Reply struct {
	Values [][]byte      // first column of each row; nil for NULL
	Tag    string        // command tag of the last statement
	Error  *pgwire.Error // the server's error, if any
	Status byte          // transaction state after it
	lost   error
}

// collect takes one message of the reply; complete is set with its last one.
func (n *note) collect(typ, status byte, body []byte, complete bool) {
	if n == nil || n.reply == nil {
		return
	}
	switch typ {
	case 'D':
		n.reply.keep(firstColumn(body))
	case 'C':
		n.reply.Tag = string(body[:max(0, indexNUL(body))])
	case 'E':
		if n.reply.Error == nil {
			n.reply.Error = parseError(body)
		}
	case 'Z':
		n.reply.Status = status
	}
	if complete && n.done != nil {
		close(n.done)
	}
}

// fail ends the wait for a reply that will never come.
func (n *note) fail(cause error) {
	if n.reply == nil {
		return
	}
	n.reply.lost = cause
	if n.done != nil {
		close(n.done)
	}
}

// firstColumn copies the first column of a DataRow.
func firstColumn(body []byte) []byte {
	if len(body) < 6 {
		return nil
	}
	n := int(int32(binary.BigEndian.Uint32(body[2:])))
	if n < 0 || n > len(body)-6 {
		return nil
	}
	return append([]byte{}, body[6:6+n]...)
}

// Exec runs SQL of the broker's own by the simple protocol on a connection that nobody else uses
// and waits for the answer, whose Error is the server's. An error of its own means that the
// connection cannot be used any more. Several statements run as one transaction.
func (s *Server) Exec(ctx context.Context, sql string) (*Reply, error) {
	n := &note{reply: &Reply{}, done: make(chan struct{})}
	s.mu.Lock()
	if s.lost != nil {
		defer s.mu.Unlock()
		return nil, s.lost
	}
	s.ledger.sent(pgwire.MsgQuery, 0, fromBroker, n)
	s.mu.Unlock()
	if deadline, ok := ctx.Deadline(); ok {
		s.Conn.SetWriteDeadline(deadline)
		defer s.Conn.SetWriteDeadline(time.Time{})
	}
	if _, err := s.Conn.Write(pgwire.AppendQuery(nil, sql)); err != nil {
		s.Close()
		return nil, fmt.Errorf("%w: %w", ErrServerLost, err)
	}
	select {
	case <-n.done:
	case <-ctx.Done():
		s.Close()
		return nil, fmt.Errorf("broker request: %w", context.Cause(ctx))
	}
	if n.reply.lost != nil {
		return nil, n.reply.lost
	}
	return n.reply, nil
}

var errReset = errors.New("reset did not leave a clean connection")

// reset brings the connection back to the state of a fresh login and then releases its lease; it
// does not wait. Whatever does not end in DISCARD ALL's tag and an idle transaction state within
// the timeout closes the connection instead (W53, W96). Only for a connection whose ledger is quiet
// and whose session has been unlinked.
func (s *Server) reset(lease Lease, timeout time.Duration) {
	request := pgwire.AppendQuery(nil, "DISCARD ALL")
	n := &note{reply: &Reply{}}
	s.mu.Lock()
	if s.lost != nil {
		s.mu.Unlock()
		lease.Destroy()
		return
	}
	if s.ledger.tx != 'I' {
		request = append(pgwire.AppendQuery(nil, "ROLLBACK"), request...)
		s.ledger.sent(pgwire.MsgQuery, 0, fromBroker, &note{reply: &Reply{}})
	}
	s.ledger.sent(pgwire.MsgQuery, 0, fromBroker, n)
	s.phase, s.lease, s.session, s.resetNote = phaseReset, lease, nil, n
	s.timer = time.AfterFunc(timeout, func() { s.Close() })
	s.mu.Unlock()
	s.Conn.SetWriteDeadline(time.Now().Add(timeout))
	if _, err := s.Conn.Write(request); err != nil {
		s.Close() // the reader notices and destroys the lease
	}
	// From here on it may be somebody else's: endReset takes the deadline away.
}

// endReset judges the finished reset. Called with mu, which it unlocks.
func (s *Server) endReset() error {
	s.stopTimer()
	reply, lease := s.resetNote.reply, s.lease
	ok := reply.Error == nil && reply.Tag == "DISCARD ALL" && s.ledger.clean() && !s.midway
	if !ok {
		s.mu.Unlock()
		return errReset // lose destroys the lease
	}
	s.Conn.SetWriteDeadline(time.Time{})
	s.lease, s.resetNote, s.phase = Lease{}, nil, phaseIdle
	s.unpin(s.pins)
	s.unpins, s.dirty, s.tempPath, s.recheck, s.recheckSet, s.changed = 0, false, false, false, false, s.changed[:0]
	s.forgetSettings()
	s.private = ""
	s.prepared.clear()
	s.rebase(replayable)
	held := s.cancels > 0
	if held {
		s.lease, s.phase = lease, phaseHeld
	}
	s.mu.Unlock()
	if !held {
		lease.Release()
	}
	return nil
}

// cancel sends one cancel request for what the connection runs for session now, and holds the
// connection until the server has taken notice, so that it can never hit somebody else (W73, W74).
// It says whether a request was delivered.
func (s *Server) cancel(ctx context.Context, session *Session) (bool, error) {
	s.mu.Lock()
	if s.Cancel == nil || s.session != session || s.lost != nil || s.fatal != nil || !s.ledger.busy() || s.brokerTurn() {
		s.mu.Unlock()
		return false, nil
	}
	s.cancels++
	s.mu.Unlock()
	err := s.Cancel(ctx)
	s.cancelled(err)
	return err == nil, err
}

// cancelling says whether a cancel request is under way for what the connection ran for the session.
func (s *Server) cancelling(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session == session && s.lost == nil && s.cancels > 0
}

// brokerTurn says whether the server is answering the broker and not the client (W75).
func (s *Server) brokerTurn() bool {
	head, ok := s.ledger.fifo.head()
	return ok && head.origin == fromBroker
}

// cancelled ends one cancel request. When it is not known whether the server took it, the
// connection is closed: a late cancel would hit whoever comes next. Until it is, the request counts as
// under way.
func (s *Server) cancelled(err error) {
	if err != nil {
		s.Close() // the reader notices and destroys the lease
		return
	}
	s.mu.Lock()
	s.cancels--
	free := s.cancels == 0 && s.phase == phaseHeld
	lease := s.lease
	session := s.session
	if free {
		s.lease, s.phase = Lease{}, phaseIdle
	}
	s.mu.Unlock()
	switch {
	case free:
		lease.Release()
	case session != nil:
		s.look()
	}
}

// parseError decodes an ErrorResponse; one that does not parse is an error all the same.
func parseError(body []byte) *pgwire.Error {
	e, err := pgwire.ParseError(body)
	if err != nil {
		return &pgwire.Error{Severity: pgwire.Err, Code: pgwire.InternalError, Message: "unreadable error response"}
	}
	return &e
}
