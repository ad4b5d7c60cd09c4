package relay

// link gives the connection to a session, whose caller holds the lease. It says no when the
// connection has ended meanwhile.
func (s *Server) link(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		return false
	}
	s.session, s.phase = session, phaseLinked
	s.Sessions.Add(1)
	return true
}

// unlink takes the connection from a session if it is quiet and no cancel request is under way, so
// that it may be reset and serve somebody else. Otherwise it changes nothing and says no.
func (s *Server) unlink(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != session || s.lost != nil || !s.ledger.quiet() || s.cancels > 0 {
		return false
	}
	s.session = nil
	return true
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
