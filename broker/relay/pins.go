package relay

import (
	"strings"
	"sync/atomic"

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
	{sqllex.DiscardAll, (pinning | pinHuge) &^ lasting},
}

// PinLimit caps how many server connections are pinned at once (W55). Safe for concurrent use.
type PinLimit struct {
	Max  int64 // 0: no cap
	held atomic.Int64
}

// take counts one more pinned connection, unless that were too many.
func (p *PinLimit) take() bool {
	if p == nil {
		return true
	}
	if n := p.held.Add(1); p.Max > 0 && n > p.Max {
		p.held.Add(-1)
		return false
	}
	return true
}

func (p *PinLimit) give() {
	if p != nil {
		p.held.Add(-1)
	}
}

// Held is how many connections are pinned now.
func (p *PinLimit) Held() int64 { return p.held.Load() }

// Reason says how a session ended; the closed set is in architecture.md, section Errors.
type Reason string

// Reasons that the relay finds itself; others are given to End.
const (
	ClientClosed     Reason = "client_closed"
	ClientTerminated Reason = "client_terminated"
	UpstreamClosed   Reason = "upstream_closed"
	ProtocolError    Reason = "protocol_error"
)

// End is a cause for a session to end, and what its client is told.
type End struct {
	Reason Reason
	Tell   *pgwire.Error // nil: the client is told nothing
}

// Result is what a session did and how it ended.
type Result struct {
	End
	BytesIn, BytesOut            int64 // from and to the client, inside TLS
	Statements, Errors, RowsSent int64
	Cancels                      int64
}

// pin keeps the connection with its client. Called with mu.
func (s *Server) pin(p sqllex.Flags) {
	if s.pins == 0 && p != 0 {
		s.pinned = s.session.cfg.Pins
	}
	s.pins |= p
	s.unpins &^= p
}

// unpin ends pins. Called with mu.
func (s *Server) unpin(p sqllex.Flags) {
	before := s.pins
	if s.pins &^= p; s.pins == 0 && before != 0 {
		s.pinned.give()
		s.pinned = nil
	}
}

// mayPin says whether a statement may be sent: it pins nothing, the connection is pinned anyway, or
// one more may be. In the last case it is counted, for pin to take over. Called with mu (W55).
func (s *Server) mayPin(p sqllex.Flags) bool {
	return p == 0 || s.pins != 0 || s.session.cfg.Pins.take()
}

func errTooManyPins(severity pgwire.Severity) *pgwire.Error {
	return &pgwire.Error{
		Severity: severity, Code: pgwire.TooManyConnections, Slug: "max_pinned",
		Message:  "too many server connections are bound to sessions",
		HintText: "Use a database configured for session pooling for LISTEN, temporary tables, session locks and the like.",
	}
}

// affect applies what a statement may do to the connection's state, before it is sent: pins and
// dirt at once, since a row for the wrong client is worse than a connection kept too long. What
// depends on its success is left in the note that it returns, for the reply. whole says that the
// reply is the statement's own, as a Query's is and a Bind's is not.
func (s *Session) affect(server *Server, e *sqllex.Effects, whole bool, text func() string) (*note, *pgwire.Error) {
	if e.Flags == 0 {
		return nil, nil
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
	if !server.mayPin(flags & pinning) {
		return nil, errTooManyPins(pgwire.Err)
	}
	server.pin(flags & pinning)
	server.announce(e)
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
	return n, nil
}

// announce tells of statements that concern more than this session.
func (s *Server) announce(e *sqllex.Effects) {
	if e.Has(sqllex.RoleDefaults) {
		s.notice(Event{Kind: DefaultsChanged})
	}
	if e.Has(sqllex.DropDatabase) {
		s.notice(Event{Kind: DatabaseGoing, Database: e.Database})
	}
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
		server.forgetSettings()
		server.resetSeen = true
	case "DISCARD ALL":
		server.forgetSettings()
		server.resetSeen, server.dirty = true, false
		s.forgetBefore(server, seq)
	case "DEALLOCATE ALL":
		s.forgetBefore(server, seq)
	}
}

// committed takes over what the transaction that has just ended has changed: settings, and the end
// of pins. Called with the server's mu.
func (s *Session) committed(server *Server) {
	server.unpin(server.unpins)
	server.unpins = 0
	for _, set := range s.pending {
		if _, _, reported := server.params.fold(set.name); reported {
			continue // its value came in a ParameterStatus
		}
		switch {
		case set.name == tokenSetting:
			server.tokenOf = nil
			continue
		case !s.cfg.Profile.fixed[set.name] && !strings.HasPrefix(set.name, ownPrefix):
			s.static = s.static.with(set)
		}
		server.applied = server.applied.with(set)
	}
	s.pending = s.pending[:0]
}

// forgetSettings notes that every setting that was applied may be gone. Called with mu.
func (s *Server) forgetSettings() { s.applied, s.tokenOf = nil, nil }

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
func (s *Session) refuseOnServer(server *Server, typ byte, e *pgwire.Error) error {
	s.dropRest = true
	n := &note{action: refused, session: s, refusal: e}
	if typ == pgwire.MsgQuery {
		server.ledger.sent(pgwire.MsgQuery, 0, fromClient, n)
		s.box.put(pgwire.AppendQuery(s.box.room(), "refused by pgsignet"))
		return nil
	}
	server.ledger.sent(pgwire.MsgDescribe, 'S', fromClient, n)
	s.box.put(pgwire.AppendDescribe(s.box.room(), 'S', server.unusedName()))
	return nil
}
