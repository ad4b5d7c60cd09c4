package relay

import (
	"math/bits"
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

// End is a cause for a session to end, and what its client is told. It has four words at most: the frames under
// which idle clients wait would hold a larger one, and not fit into 4 KiB.
type End struct {
	Reason Reason
	Tell   *pgwire.Error // nil: the client is told nothing
}

// Result is what a session did and how it ended. Its Tell is the server's own word where that was the last.
type Result struct {
	End
	BytesIn, BytesOut            int64 // from and to the client, inside TLS
	Statements, Errors, RowsSent int64
	Cancels                      int64

	// The statements from Undoes on, 0: none, were of a transaction that the end of the session has rolled
	// back; with Perhaps, unless it was committed unseen. Known with an Observer alone.
	Undoes  uint64
	Perhaps bool
}

// pin keeps the connection with its client. Called with mu.
func (s *Server) pin(p sqllex.Flags) {
	if s.pins == 0 && p != 0 {
		s.pinned = s.session.cfg.Pins
	}
	s.pins |= p
	s.unpins &^= p
	for rest := uint64(p); rest != 0; rest &= rest - 1 {
		s.pinnedAt[bits.TrailingZeros64(rest)] = s.order
	}
}

// pinAnyway pins for what has already happened: no cap can undo it. Called with mu.
func (s *Server) pinAnyway(p sqllex.Flags) {
	if s.pins == 0 && s.session.cfg.Pins != nil {
		s.session.cfg.Pins.held.Add(1)
	}
	s.pin(p)
}

// acquiredBefore returns those of the pins that no statement behind that place has acquired again.
func (s *Server) acquiredBefore(p sqllex.Flags, order uint64) sqllex.Flags {
	for rest := uint64(p & (pinning | pinHuge)); rest != 0; rest &= rest - 1 {
		if bit := bits.TrailingZeros64(rest); s.pinnedAt[bit] > order {
			p &^= 1 << bit
		}
	}
	return p
}

// unpin ends pins. Called with mu.
func (s *Server) unpin(p sqllex.Flags) {
	before := s.pins
	if p&sqllex.HoldCursor != 0 {
		s.cursors = heldCursors{}
	}
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

// hold keeps the connection with the client, or marks it for a reset, for what a statement may leave
// there: before it is sent, since a row for the wrong client is worse than a connection kept too
// long.
func (s *Session) hold(server *Server, e *sqllex.Effects, flags sqllex.Flags) *pgwire.Error {
	if !server.mayPin(flags & (pinning | pinHuge)) {
		return errTooManyPins(pgwire.Err)
	}
	server.order++
	server.pin(flags & (pinning | pinHuge))
	if e.Has(sqllex.HoldCursor) {
		server.cursors.declared(e.Cursor, server.order)
	}
	server.announce(e)
	server.tempPath = server.tempPath || e.Has(sqllex.TempPath)
	made := e.Has(sqllex.Creates) && (server.tempPath || s.cfg.Profile.tempPath)
	if made || e.Has(sqllex.Dirty|sqllex.Opaque|sqllex.Seed) {
		server.dirty, server.dirtyAt = true, server.order
	}
	return nil
}

// leaves is what a statement may leave on the connection. A text that the lexer cannot be sure of
// may leave anything (W52).
func (s *Session) leaves(e *sqllex.Effects, text func() string) sqllex.Flags {
	flags := e.Flags &^ pinHuge
	if s.unsafeText() && !sqllex.ASCII(text()) {
		flags |= pinHuge
	}
	return flags
}

// unsafeText says whether the client's encoding may hide things from the lexer.
func (s *Session) unsafeText() bool {
	enc, _ := s.seen.get("client_encoding")
	return !sqllex.SafeEncoding(enc)
}

// affect applies what a statement that is about to be executed may do to the connection's state.
// What depends on its success is left in the note that it returns, for the reply.
func (s *Session) affect(server *Server, e *sqllex.Effects, text func() string) (*note, *pgwire.Error) {
	flags := s.leaves(e, text)
	if flags == 0 && e.Flags == 0 {
		return nil, nil
	}
	n := &note{session: s}
	switch {
	case e.Has(sqllex.SetLone) && s.mayReplay(server, text()):
		n.change = &change{set: &setting{name: e.Setting, sql: text()}}
	case e.Has(sqllex.SetLone):
		flags |= sqllex.SetOther
	case e.Has(sqllex.ResetAll | sqllex.DiscardAll):
		n.change = &change{all: true}
	case e.Has(sqllex.Reset):
		n.change = &change{reset: e.Setting}
	}
	if refusal := s.hold(server, e, flags); refusal != nil {
		return nil, refusal
	}
	server.reads(e, text)
	n.order = server.order
	for _, u := range unpinned {
		if e.Has(u.effect) {
			n.unpins |= u.pins
		}
	}
	if e.Has(sqllex.Close) && server.pins&sqllex.HoldCursor != 0 {
		n.closes = e.Cursor
	}
	if e.Has(sqllex.Unprepares) {
		server.prepared.spoilAll() // which ones is not known: they may be others'
	}
	if e.Has(sqllex.DeallocateAll | sqllex.DiscardAll) {
		n.action, n.saved = allGone, s.names
		n.cleans = e.Has(sqllex.DiscardAll)
		s.names = make(map[string]named)
		s.counts(n)
	}
	return n, nil
}

// announce tells of statements that concern more than this session.
func (s *Server) announce(e *sqllex.Effects) {
	if e.Has(sqllex.DropDatabase) {
		s.notice(Event{Kind: DatabaseGoing, Database: e.Database})
	}
}

// altered notes a command that may have changed what new connections begin with; its tag is all that
// is known of it in session mode. announceAltered tells of it at the end of its transaction: a
// connection that is made before sees the old defaults (W54). Both are called with mu.
func (s *Server) altered(tag string) {
	if tag == "ALTER ROLE" || tag == "ALTER DATABASE" {
		s.newDefaults = true
	}
}

func (s *Server) announceAltered() {
	if s.newDefaults {
		s.newDefaults = false
		s.notice(Event{Kind: DefaultsChanged})
	}
}

// mayReplay says whether a SET that is sent now stands alone and outside a block, so that its
// effect can be had again elsewhere by sending it again, where it reads the same.
func (s *Session) mayReplay(server *Server, text string) bool {
	return server.ledger.tx == 'I' && !server.ledger.owesState() && sqllex.ASCII(text) && !strings.Contains(text, `\`)
}

// refuseOnServer makes the server fail a request that the broker will not have, so that it fails at
// its place in the pipeline and takes its transaction with it (W24). The client reads e.
func (s *Session) refuseOnServer(server *Server, typ byte, e *pgwire.Error) error {
	s.dropRest = true
	n := &note{action: refused, session: s, refusal: e}
	if typ == pgwire.MsgQuery || typ == pgwire.MsgFunctionCall {
		server.ledger.sent(pgwire.MsgQuery, 0, fromClient, n)
		s.ousted(server, nil)
		s.box.put(pgwire.AppendQuery(s.box.room(), "refused by pgsignet"))
		return nil
	}
	server.ledger.sent(pgwire.MsgDescribe, 'S', fromClient, n)
	s.box.put(pgwire.AppendDescribe(s.box.room(), 'S', server.unusedName()))
	return nil
}
