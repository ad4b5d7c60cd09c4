package relay

import (
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// pinning are the effects that keep a server connection with its client in transaction mode: state
// that cannot be had again elsewhere (the table in the wire rules' section 4).
const pinning = sqllex.SetOther | sqllex.Role | sqllex.Prepare | sqllex.Listen | sqllex.AdvisoryLock |
	sqllex.Temp | sqllex.HoldCursor | lasting

// lasting are the effects that not even DISCARD ALL takes back: the connection ends with its client.
const lasting = sqllex.Load | sqllex.Unresettable

// pinHuge is a statement that was too long to be looked at.
const pinHuge = sqllex.Opaque

// unpinned are the pins that an effect ends once its transaction is committed.
var unpinned = []struct{ effect, pins sqllex.Flags }{
	{sqllex.ResetAll, sqllex.SetOther},
	{sqllex.DeallocateAll, sqllex.Prepare},
	{sqllex.UnlistenAll, sqllex.Listen},
	{sqllex.UnlockAll, sqllex.AdvisoryLock},
	{sqllex.DiscardTemp, sqllex.Temp},
	{sqllex.CloseAll, sqllex.HoldCursor},
	{sqllex.DiscardAll, pinning | pinHuge&^lasting},
}

// pin keeps the connection with its client. Called with mu.
func (s *Server) pin(p sqllex.Flags) {
	s.pins |= p
	s.unpins &^= p
}

// affect applies what a statement may do to the connection's state, before it is sent: pins and
// dirt at once, since a row for the wrong client is worse than a connection kept too long. What
// depends on its success is left in the note that it returns, for the reply. whole says that the
// reply is the statement's own, as a Query's is and a Bind's is not.
func (s *Session) affect(server *Server, e *sqllex.Effects, whole bool, text func() string) *note {
	if s.cfg.Mode != TransactionMode || e.Flags == 0 {
		return nil
	}
	var n *note
	flags := e.Flags
	if e.Has(sqllex.SetLone) {
		if s.mayReplay(server) {
			n = &note{session: s, set: &setting{name: e.Setting, sql: text()}}
		} else {
			flags |= sqllex.SetOther
		}
	}
	server.pin(flags & pinning)
	if e.Has(sqllex.Dirty | sqllex.Opaque | sqllex.Seed) {
		server.dirty = true
	}
	for _, u := range unpinned {
		if e.Has(u.effect) {
			if n == nil {
				n = &note{session: s}
			}
			n.unpins |= u.pins
		}
	}
	if e.Has(sqllex.DeallocateAll | sqllex.DiscardAll) {
		server.prepared.spoilAll()
		if whole {
			n.action, n.saved = allGone, s.names
			s.names = make(map[string]named)
		}
	}
	return n
}

// mayReplay says whether a SET that is sent now stands alone and outside a block, so that its
// effect can be had again elsewhere by sending it again.
func (s *Session) mayReplay(server *Server) bool {
	return server.ledger.tx == 'I' && !server.ledger.owesReady()
}

// tagged acts on a command tag that says what became of the session's state, whichever way the
// statement came in: DEALLOCATE ALL and DISCARD ALL end what was prepared before them, RESET and
// DISCARD ALL bring start-up settings back (W40, W51), ROLLBACK undoes what was to take effect at
// the commit. Called with the server's mu.
func (s *Session) tagged(server *Server, tag string, seq uint64) {
	switch tag {
	case "ROLLBACK":
		server.unpins, s.pending = 0, s.pending[:0]
	case "RESET":
		server.applied, server.resetSeen = nil, true
	case "DISCARD ALL":
		server.applied, server.resetSeen, server.dirty = nil, true, false
		s.forgetBefore(server, seq)
	case "DEALLOCATE ALL":
		s.forgetBefore(server, seq)
	}
}

// committed takes over what the transaction that has just ended has changed: settings, and the end
// of pins. Called with the server's mu.
func (s *Session) committed(server *Server) {
	server.pins &^= server.unpins
	server.unpins = 0
	for _, set := range s.pending {
		if _, _, reported := server.params.fold(set.name); reported {
			continue // its value came in a ParameterStatus
		}
		s.static = s.static.with(set)
		server.applied = server.applied.with(set)
	}
	s.pending = s.pending[:0]
}

// forgetBefore forgets the names that were prepared before a request.
func (s *Session) forgetBefore(server *Server, seq uint64) {
	for name, known := range s.names {
		if known.seq < seq {
			delete(s.names, name)
			s.cfg.Statements.put(known.st)
		}
	}
	server.prepared.unnamed = nil
}

// refuseOnServer makes the server fail a request that the broker will not have, so that it fails at
// its place in the pipeline and takes its transaction with it (W24). The client reads e.
func (s *Session) refuseOnServer(server *Server, typ byte, e *pgwire.Error) {
	n := &note{action: refused, session: s, refusal: e}
	if typ == pgwire.MsgQuery {
		server.ledger.sent(pgwire.MsgQuery, 0, fromClient, n)
		s.box.put(pgwire.AppendQuery(s.box.room(), "refused by pgsignet"))
		return
	}
	server.ledger.sent(pgwire.MsgDescribe, 'S', fromClient, n)
	s.box.put(pgwire.AppendDescribe(s.box.room(), 'S', server.unusedName()))
}
