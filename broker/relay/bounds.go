package relay

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// This file bounds what a server that is not what it should be can do to the broker: neither its
// memory nor the process belongs to one connection.

const (
	// maxParams is how many settings a server may report. PostgreSQL 18 reports 15 of its own.
	maxParams = 200
	// maxValues is how many rows of an answer to the broker itself are kept. It never asks for more
	// than one.
	maxValues = 16
)

// maxOwed is how many requests a session sends ahead of their answers: a message of seven bytes costs the broker
// some three hundred until its answer comes, and behind a statement that takes hours the sockets' buffers hold a
// million of them. A server answers what it has read after 8 KiB of answers at the latest (PQ_SEND_BUFFER_SIZE in
// PostgreSQL's pqcomm.c), which are fewer than these, so that waiting for it never waits for the client.
const maxOwed = 16 << 10

// owesMuch says whether the client is to wait until the server has answered some of what it has. Not in a COPY, where
// it waits for the client's data. Called with mu.
func (s *Server) owesMuch() bool { return s.ledger.fifo.size > maxOwed && s.ledger.copy == copyNone }

// owesMuchTo says whether that holds of what the session has asked for.
func (s *Server) owesMuchTo(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session == session && s.lost == nil && s.owesMuch()
}

var errTooManyParams = errors.New("the server reports too many settings")

// keep adds a row's first column to the reply, as long as there are few.
func (r *Reply) keep(value []byte) {
	if len(r.Values) < maxValues {
		r.Values = append(r.Values, value)
	}
}

// mayReport refuses the report of one more setting when there are too many already.
func (p *paramSet) mayReport(name string) error {
	if _, known := p.get(name); !known && len(p.params) >= maxParams {
		return errTooManyParams
	}
	return nil
}

// account is scan, with a panic over what the server sent as an error: it ends this connection, not
// the process. Called with mu, which it leaves locked in either case.
func (s *Server) account(b []byte) (held int, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.tellPanic(r)
			held, err = 0, fmt.Errorf("%w: panic: %v", pgwire.ErrMalformed, r)
		}
	}()
	return s.scan(b)
}

func (s *Server) tellPanic(value any) {
	if s.Panicked != nil {
		s.Panicked(value, debug.Stack())
	}
}

// survive is deferred by the reader: a bug that panics there costs this connection and the session that
// holds it, not the broker and everybody else. The reader is the only goroutine that gives the
// connection up, so it does that here as for any other end.
func (s *Server) survive() {
	r := recover()
	if r == nil {
		return
	}
	s.tellPanic(r)
	lockSoon(&s.mu) // when it stays taken it is the panic that has left it so: nobody else holds it so long
	s.mu.Unlock()
	defer func() {
		if recover() != nil { // what is left is beyond repair
			s.Conn.Close()
			if session := s.session; session != nil {
				session.serverLost(nil)
			}
		}
	}()
	s.lose(fmt.Errorf("%w: panic: %v", ErrServerLost, r))
}

// wreckOnPanic is deferred by Run: a panic takes the server connection with it, which else would be
// nobody's for good, with whatever locks its transaction holds. It goes on then.
func (s *Session) wreckOnPanic() {
	if r := recover(); r != nil {
		s.wreck()
		panic(r)
	}
}

// wreck ends the session's server connection. It must not block: the panic may have left a lock taken.
func (s *Session) wreck() {
	if !lockSoon(&s.mu) {
		return
	}
	server := s.server
	s.mu.Unlock()
	if server == nil || !lockSoon(&server.mu) {
		return
	}
	if server.session != s {
		server.mu.Unlock()
		return
	}
	lease := server.lease
	server.session, server.lease, server.phase = nil, Lease{}, phaseClosed
	server.mu.Unlock()
	server.Close()
	lease.Destroy()
}

// lockSoon locks mu unless it stays taken for longer than anybody holds it, whose thread may be stopped.
func lockSoon(mu *sync.Mutex) bool {
	for range 1000 {
		if mu.TryLock() {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}
