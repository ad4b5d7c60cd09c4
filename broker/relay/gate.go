package relay

import (
	"errors"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// inspect scans what the client has sent for the observer, and in strict delivery waits until it is
// recorded (W97). What cannot be is answered with an error, or ends the session when a part of its
// batch has been sent, or its transaction would go on without it (W24).
func (s *Session) inspect(b []byte, server *Server, now time.Time) error {
	w := s.watch
	w.scan(s, b, s.in.remain, clockOf(now))
	if len(w.starts) == 0 {
		return nil
	}
	s.withdrawable.Store(s.in.remain == 0 && s.mayReject(server, b[0]))
	err := s.await()
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[shown](err)
	if !ok {
		return err
	}
	w.abandon(e.SQLState(), e.Public(), errors.Is(err, errCancelled))
	if s.in.remain > 0 || !s.mayReject(server, b[0]) {
		return &unrecorded{tell: &pgwire.Error{
			Severity: pgwire.Fatal, Code: e.SQLState(), Message: e.Public(), Slug: e.Reason(),
		}}
	}
	return s.reject(b[0], err)
}

// unrecorded ends a session whose statement could not be recorded with a part of its batch sent.
type unrecorded struct{ tell *pgwire.Error }

func (u *unrecorded) Error() string { return u.tell.Message }

// await waits until the observer has recorded what is to start. The session's end ends that, and so does a cancel
// request where what waits can be answered in its turn. Elsewhere it comes too early, as it may at PostgreSQL: it is
// for what the server runs, and nothing that the client has begun is lost.
func (s *Session) await() error {
	s.begin(&s.recording)
	s.noteWait(time.Now())
	err := s.watch.to.Start(&s.recording, s.watch.starts)
	s.noteWait(time.Time{})
	s.recording.over()
	return err
}

// noteWait notes since when the session waits for a record; zero: it does not.
func (s *Session) noteWait(from time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waitingFrom = from
}

// Unrecorded is since when a statement of the session's waits for its record; zero: none does. Meanwhile
// nobody reads from the client. Safe for concurrent use.
func (s *Session) Unrecorded() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waitingFrom
}

// mayReject says whether a request that begins with a message of type typ can be answered with an
// error in its turn: the session is between transactions, and everything before it is answered.
func (s *Session) mayReject(server *Server, typ byte) bool {
	switch typ {
	case pgwire.MsgFlush, pgwire.MsgCopyData, pgwire.MsgCopyDone, pgwire.MsgCopyFail:
		return false
	}
	if server == nil {
		return true
	}
	if server.midBatch(s) {
		return false
	}
	s.awaitAnswers(server)
	return s.end.Load() == nil && server.cleanFor(s)
}

// midBatch says whether more of the session's batch must come before the server answers all of it.
func (s *Server) midBatch(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.ledger
	return s.session == session && (l.open || l.skip || l.copy != copyNone || l.doubt != certain)
}

// cleanFor says whether the session holds no connection, or one at a boundary.
func (s *Server) cleanFor(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session != session || s.lost == nil && s.ledger.clean()
}
