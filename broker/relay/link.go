package relay

import (
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// link gives the connection to a session with its lease. ok is false when the connection has ended
// meanwhile. news are the ParameterStatus messages that the client must read first (W48).
func (s *Server) link(session *Session, lease Lease) (news []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil || s.fatal != nil || s.closing.Load() {
		return nil, false
	}
	s.session, s.lease, s.phase = session, lease, phaseLinked
	s.Sessions.Add(1)
	return s.tell(session), true
}

// unlink takes the connection from a session if it is quiet and no cancel request is under way, so
// that it may be reset and serve somebody else. Otherwise it changes nothing and says no.
func (s *Server) unlink(session *Session) (Lease, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != session || s.lost != nil || !s.ledger.quiet() || s.cancels > 0 || s.partial > 0 || s.pins&lasting != 0 {
		return Lease{}, false
	}
	lease := s.lease
	s.session, s.lease = nil, Lease{}
	return lease, true
}

// seize takes the connection and its lease from a session in whatever state it is, to be closed. ok
// is false when the session does not hold it.
func (s *Server) seize(session *Session) (lease Lease, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != session {
		return Lease{}, false
	}
	lease = s.lease
	s.session, s.lease, s.phase = nil, Lease{}, phaseClosed
	return lease, true
}

// heldBy says whether the session holds the connection.
func (s *Server) heldBy(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session == session
}

// endAtBoundary marks the end of a session that holds the connection at a transaction boundary, with
// nothing under way in either direction. Once it has, nothing more of the session is sent.
func (s *Server) endAtBoundary(session *Session, e *End) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != session {
		return true // it holds none
	}
	if !s.ledger.clean() || s.partial > 0 || s.writing || s.forwarding || s.midway {
		return false
	}
	session.end.CompareAndSwap(nil, e)
	return true
}

// stopWriting makes a blocked write of the session's return. It leaves a connection alone that the
// session does not hold any more.
func (s *Server) stopWriting(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == session {
		s.Conn.SetWriteDeadline(past)
	}
}

// busyFor says whether the server may be at work for the session.
func (s *Server) busyFor(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session == session && s.lost == nil && s.fatal == nil && s.ledger.busy()
}

// answers says whether the server still owes the session answers that come without more being
// sent: those up to the last Sync or Query, unless it waits for COPY data or its state is in doubt.
func (s *Server) answers(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.session != session || s.lost != nil:
		return false
	case s.forwarding:
		return true
	}
	return s.ledger.willAnswer()
}

// mayLeave says whether answers are due, or being forwarded, after which the session may hold the
// connection no more. Called with the server's mu.
func (s *Session) mayLeave(server *Server) bool {
	return s.cfg.Mode == TransactionMode && s.in.remain == 0 && (server.forwarding || server.ledger.willAnswer())
}

// mustLeave says whether the connection, which the session has only because its last answer is still being
// forwarded, would not be lent any more: it has ended or says something of its own. Called with the
// server's mu.
func (s *Session) mustLeave(server *Server) bool {
	return server.forwarding && server.unused() && s.in.remain == 0 && (server.fatal != nil || pendingInput(server.Conn))
}

// awaitAnswers waits until the server has answered all that it can, or the session is ended.
func (s *Session) awaitAnswers(server *Server) { s.awaitWhile(server, (*Server).answers) }

// awaitCancels waits until no cancel request for what the connection ran is under way, which would hit what
// begins behind it: the session's settings, or its next statement. It returns as well when the session holds
// the connection no more or is ended.
func (s *Session) awaitCancels(server *Server) { s.awaitWhile(server, (*Server).cancelling) }

// awaitWhile waits as long as due says so of the server, which wakes the session whenever that may have changed, or
// until the session is ended.
func (s *Session) awaitWhile(server *Server, due func(*Server, *Session) bool) {
	s.awaiting.Store(true)
	defer s.awaiting.Store(false)
	for due(server, s) {
		select {
		case <-s.quiet:
		case <-s.ctx.Done():
			return
		}
	}
}

// replay puts ahead of the client's requests what makes the connection fit for the session: its
// settings, when somebody else's hold there or a RESET has taken them back. Only at a boundary;
// called with the server's mu (W46-W51).
func (s *Session) replay(server *Server) {
	if !server.ledger.clean() {
		return
	}
	server.readsAgain()
	clear(s.portals) // none outlives its transaction
	s.unnamed.settle()
	s.giveBack(server)
	sql := server.replaySQL(s)
	server.suspect = false
	if len(sql) == 0 {
		return
	}
	server.applied, server.tokenOf = s.static, nil
	if s.cfg.Profile.token != nil {
		server.tokenOf = s.cfg.Profile
	}
	if s.cfg.Mode == SessionMode {
		s.replayExtended(server, string(sql))
		return
	}
	server.prepared.unnamed = nil // a Query ends it
	if enc, ok := s.wanted.get("client_encoding"); ok && !server.holds("client_encoding", enc) && !sqllex.ASCII(string(sql)) {
		// The values are in the client's encoding: the server must know it before it reads them.
		s.askFor(server, appendSetConfig(nil, "client_encoding", quoteLiteral(enc)), nil)
	}
	s.askFor(server, sql, server.goingHome(s))
}

// askFor puts a statement of the broker's own into the outbox, ahead of the client's. Called with
// the server's mu.
func (s *Session) askFor(server *Server, sql []byte, rebase []string) {
	server.ledger.sent(pgwire.MsgQuery, 0, fromBroker, &note{mustSucceed: true, rebase: rebase})
	s.box.put(pgwire.AppendQuery(s.box.room(), string(sql)))
}

// replayExtended sends a replay, which in session mode is one statement, under a name of its own: the
// client's unnamed statement, which a Query would end, is not the broker's to forget.
func (s *Session) replayExtended(server *Server, sql string) {
	n, name := &note{mustSucceed: true}, server.unusedName()
	out := pgwire.AppendParse(s.box.room(), name, sql, nil)
	out = appendMessage(out, pgwire.MsgBind, []byte("\x00"+name+"\x00\x00\x00\x00\x00\x00\x00"))
	out = appendMessage(out, pgwire.MsgExecute, []byte{0, 0, 0, 0, 0})
	out = pgwire.AppendClose(out, 'S', name)
	s.box.put(pgwire.AppendEmpty(out, pgwire.MsgSync))
	for _, typ := range []byte{pgwire.MsgParse, pgwire.MsgBind, pgwire.MsgExecute, pgwire.MsgClose, pgwire.MsgSync} {
		server.ledger.sent(typ, 0, fromBroker, n)
	}
}

// learn notes the value of a parameter that the client is about to read, and says no when it knows
// that value already and has not asked for it itself.
func (s *Session) learn(name, value string, asked bool) bool {
	if seen, ok := s.seen.get(name); ok && seen == value && (s.cfg.Mode == TransactionMode || !asked) {
		return false
	}
	s.seen.set(name, value)
	return true
}
