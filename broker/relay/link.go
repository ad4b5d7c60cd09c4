package relay

import (
	"github.com/pgsignet/pgsignet/pgwire"
)

// link gives the connection to a session with its lease. ok is false when the connection has ended
// meanwhile. news are the ParameterStatus messages that the client must read first (W48).
func (s *Server) link(session *Session, lease Lease) (news []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
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

// clean says whether the session holds the connection at a transaction boundary.
func (s *Server) clean(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session == session && s.ledger.clean()
}

// busyFor says whether the server may be at work for the session.
func (s *Server) busyFor(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session == session && s.lost == nil && s.ledger.busy()
}

// isQuiet says whether the server owes the session nothing, or has gone.
func (s *Server) isQuiet(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session != session || s.lost != nil || s.ledger.quiet()
}

// awaitQuiet waits until the server has answered all that the session sent, or the session is ended.
func (s *Session) awaitQuiet(server *Server) {
	for !server.isQuiet(s) {
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
	sql := server.replaySQL(s)
	if len(sql) == 0 {
		return
	}
	server.applied = s.static
	server.prepared.unnamed = nil // a Query ends it
	server.ledger.sent(pgwire.MsgQuery, 0, fromBroker, &note{mustSucceed: true})
	s.box.put(pgwire.AppendQuery(s.box.room(), string(sql)))
}

// learn notes the value of a parameter that the client is about to read, and says no when it knows
// that value already.
func (s *Session) learn(name, value string) bool {
	if seen, ok := s.seen.get(name); ok && seen == value && s.cfg.Mode == TransactionMode {
		return false
	}
	s.seen.set(name, value)
	return true
}

// settled takes over, at the end of a transaction, the settings that the client has changed in it
// (W46). Called with the server's mu.
func (s *Session) settled(server *Server) {
	if !server.changed && !server.resetSeen {
		return
	}
	for _, name := range replayable {
		now, ok := server.params.get(name)
		if !ok {
			continue
		}
		base, _ := server.base.get(name)
		want, wanted := s.wanted.get(name)
		start, started := s.cfg.Profile.wanted.get(name)
		switch {
		case server.resetSeen && now == base && started:
			s.wanted.set(name, start)
		case server.resetSeen && now == base:
			s.wanted.remove(name)
		case wanted && now != want, !wanted && now != base:
			s.wanted.set(name, now)
		}
	}
	if server.resetSeen {
		s.static = s.cfg.Profile.static
	}
	server.changed, server.resetSeen = false, false
}
