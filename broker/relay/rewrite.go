package relay

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// This file holds what transaction mode does to messages of the extended protocol: statements that
// clients prepare go by the broker's own names on servers, are prepared again wherever a client's
// next transaction happens to run, and fail as PostgreSQL's own would.

// nameKey is what PostgreSQL tells names of statements and portals apart by: their first 63 bytes, whatever
// is behind them (MAX_PORTALNAME_LEN, and the key of its table of prepared statements). It aliases name.
func nameKey(name []byte) []byte { return name[:min(len(name), pgwire.MaxName)] }

// mayBeCut says whether PostgreSQL may cut a name elsewhere than nameKey: it counts in its own encoding, in which
// a character may have four times the bytes that it has in the client's. Two such names may be one to it.
func mayBeCut(name []byte) bool {
	return 4*len(name) > pgwire.MaxName && bytes.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf })
}

// named is a client's name for a statement.
type named struct {
	st   *statement
	name string
}

// action is what a reply means to prepared statements.
type action uint8

const (
	noAction    action = iota
	preparing          // a Parse of the client's
	standIn            // a Close that stands in for a Parse of what is prepared already: `3` reads `1`
	duplicate          // a Parse under a name in use: its error names the server's name
	replayed           // a Parse of the broker's own ahead of a Bind: its error is the client's
	closed             // a Close of a name
	deallocated        // DEALLOCATE of a name
	refused            // sent so as to fail: the client reads the broker's own error
	allGone            // DEALLOCATE ALL or DISCARD ALL: saved holds the names before it
)

// bind relays a Bind; msg holds at least its two names, unless it is malformed.
func (s *Session) bind(server *Server, msg []byte, total int) error {
	body := msg[headerSize:]
	cut := indexNUL(body)
	if cut < 0 {
		return s.pass(server, msg)
	}
	rest := body[cut+1:]
	end := indexNUL(rest)
	if end < 0 {
		return s.pass(server, msg)
	}
	name, portalName := nameKey(rest[:end]), nameKey(body[:cut])
	if s.unsettledUse(server, name) {
		return errMustWait
	}
	delete(s.portals, string(portalName))
	st, called, deallocates := s.lookup(server, name)
	if st == nil {
		return s.pass(server, msg)
	}
	if flags := s.leaves(&st.effects, st.text); flags != 0 {
		if refusal := s.hold(server, &st.effects, flags); refusal != nil {
			return s.refuseOnServer(server, pgwire.MsgBind, refusal)
		}
		if s.portals == nil {
			s.portals = make(map[string]portal)
		}
		s.portals[string(portalName)] = portal{st: st, deallocates: deallocates}
	}
	server.ledger.sent(pgwire.MsgBind, 0, fromClient, nil)
	server.ledger.calls(called)
	if st.name == string(rest[:end]) {
		s.box.add(msg)
		return nil
	}
	out := append(s.box.room(), pgwire.MsgBind)
	out = appendUint32(out, uint32(total-1-end+len(st.name)))
	out = append(out, body[:cut+1]...)
	out = append(out, st.name...)
	s.box.put(append(out, rest[end:]...))
	return nil
}

// lookup finds the statement that a client's name means and has the server hold it, or, when it
// deallocates one of the client's names, what is to run instead, with that name. Nil means that the
// client has no such statement: the name goes to the server as it is, which knows none either. called
// is the name as the client reads it in errors, empty for the unnamed statement.
func (s *Session) lookup(server *Server, name []byte) (st *statement, called, deallocates string) {
	if len(name) == 0 {
		if st = s.unnamed.now; st == nil {
			s.dropUnnamed(server)
			return nil, "", ""
		}
	} else {
		known, ok := s.names[string(name)]
		if !ok {
			return nil, "", ""
		}
		st, called = known.st, known.name
	}
	if deallocates = s.deallocated(st); deallocates != "" {
		st = s.cfg.Statements.deallocate
	}
	s.ensure(server, st)
	return st, called, deallocates
}

// dropUnnamed takes away an unnamed statement that is not the client's.
func (s *Session) dropUnnamed(server *Server) {
	if server.prepared.unnamed == nil && !server.ledger.unsure(server.prepared.unnamedAt) {
		return
	}
	server.ledger.sent(pgwire.MsgClose, 0, fromBroker, nil)
	server.prepared.unnamed, server.prepared.unnamedAt = nil, server.ledger.seq
	s.box.put(pgwire.AppendClose(s.box.room(), 'S', ""))
}

// describe relays a Describe; msg is whole.
func (s *Session) describe(server *Server, msg []byte) error {
	body := msg[headerSize:]
	end := indexNUL(body)
	if end < 1 || body[0] != 'S' {
		return s.pass(server, msg)
	}
	name := nameKey(body[1:end])
	if s.unsettledUse(server, name) {
		return errMustWait
	}
	st, called, _ := s.lookup(server, name)
	server.ledger.sent(pgwire.MsgDescribe, 'S', fromClient, nil)
	server.ledger.calls(called)
	if st == nil || st.name == string(body[1:end]) {
		s.box.add(msg)
		return nil
	}
	s.box.put(pgwire.AppendDescribe(s.box.room(), 'S', st.name))
	return nil
}

// closeName relays a Close. A named statement of the client's is forgotten, and the server, which
// may hold it for others, reads the client's own name, which it does not know: CloseComplete is the
// answer to that, too (W37).
func (s *Session) closeName(server *Server, msg []byte) error {
	body := msg[headerSize:]
	end := indexNUL(body)
	if end < 1 || body[0] != 'S' {
		if end >= 1 {
			delete(s.portals, string(nameKey(body[1:end])))
		}
		return s.pass(server, msg)
	}
	name := string(nameKey(body[1:end]))
	if s.unsettled(server, []byte(name)) {
		return errMustWait
	}
	if name == "" {
		server.ledger.sent(pgwire.MsgClose, 'S', fromClient, nil)
		s.ousted(server, nil)
		s.box.add(msg)
		return nil
	}
	n := &note{action: closed, session: s, name: name}
	if old, ok := s.names[name]; ok {
		n.st = old.st
		s.drop(name)
		s.counts(n)
	}
	server.ledger.sent(pgwire.MsgClose, 'S', fromClient, n)
	if s.cfg.Statements.owns(name) {
		s.box.put(pgwire.AppendClose(s.box.room(), 'S', server.unusedName())) // it is others'
		return nil
	}
	s.box.add(msg)
	return nil
}

// execute relays an Execute; msg is whole. What its statement leaves counts from here on.
func (s *Session) execute(server *Server, msg []byte) error {
	body := msg[headerSize:]
	var p portal
	if end := indexNUL(body); end >= 0 {
		p = s.portals[string(nameKey(body[:end]))]
		if p.st == nil && len(s.portals) > 0 && mayBeCut(body[:end]) {
			server.soil() // it may be one of those
		}
	}
	if p.st == nil {
		return s.pass(server, msg)
	}
	if p.deallocates != "" && s.unsettled(server, []byte(p.deallocates)) ||
		p.st.effects.Has(sqllex.DeallocateAll|sqllex.DiscardAll) && s.anyUnsettled(server) {
		return errMustWait
	}
	s.barrier = s.barrier || p.st.effects.Setting == "client_encoding" // how the next text reads
	var n *note
	if p.deallocates != "" {
		n = s.executeDeallocate(server, p.deallocates)
	} else {
		var refusal *pgwire.Error
		if n, refusal = s.affect(server, &p.st.effects, p.st.text); refusal != nil {
			return s.refuseOnServer(server, pgwire.MsgExecute, refusal)
		}
	}
	server.ledger.sent(pgwire.MsgExecute, 0, fromClient, n)
	s.box.add(msg)
	return nil
}

// anyUnsettled is unsettled for all names.
func (s *Session) anyUnsettled(server *Server) bool {
	return (s.namingAll > 0 || len(s.naming) > 0) && server.ledger.willAnswer()
}

// functionCall relays a FunctionCall; msg holds the function's number, unless it is malformed.
func (s *Session) functionCall(server *Server, msg []byte) error {
	if len(msg) < headerSize+4 {
		return s.pass(server, msg)
	}
	e := sqllex.Effects{Flags: sqllex.FunctionEffects(binary.BigEndian.Uint32(msg[headerSize:])), Statements: 1}
	if refusal := s.hold(server, &e, e.Flags); refusal != nil {
		return s.refuseOnServer(server, pgwire.MsgFunctionCall, refusal)
	}
	server.reads(&e, nil) // Dirty, or nothing
	server.interruptsBatch()
	return s.pass(server, msg)
}

// interruptsBatch has the connection reset when the Query or FunctionCall that is about to be sent
// comes behind an Execute without a Sync between. PostgreSQL 18 (seen with 18.4) does not commit then
// what it says it has: it is still in the transaction after the Sync's ReadyForQuery, and whoever asks
// next reads XX000.
func (s *Server) interruptsBatch() {
	if s.ledger.ran {
		s.soil()
	}
}

// soil has the connection reset before it serves anybody else.
func (s *Server) soil() {
	s.order++
	s.dirty, s.dirtyAt = true, s.order
}

// query relays a simple Query.
func (s *Session) query(server *Server, msg []byte, total int) error {
	server.interruptsBatch()
	if len(msg) < total {
		return s.queryHuge(server, msg)
	}
	text := string(bytes.TrimSuffix(msg[headerSize:], []byte{0}))
	effects := sqllex.Classify(text)
	if effects.Has(sqllex.Deallocate|sqllex.DeallocateAll|sqllex.DiscardAll) && s.anyUnsettled(server) {
		return errMustWait
	}
	if refusal := s.forbid(server, &effects, s.lone(server, &effects), func() string { return text }); refusal != nil {
		return s.refuseOnServer(server, pgwire.MsgQuery, refusal)
	}
	if effects.Has(sqllex.Deallocate) && effects.Statements == 1 {
		if _, ok := s.names[effects.Name]; ok {
			return s.queryDeallocate(server, effects.Name)
		}
	}
	if effects.Statements > 1 {
		s.mayDefault(msg, true)
	}
	n, refusal := s.affect(server, &effects, func() string { return text })
	if refusal != nil {
		return s.refuseOnServer(server, pgwire.MsgQuery, refusal)
	}
	lifts := s.cfg.Profile.readOnly && effects.Has(resets)
	if n == nil && lifts {
		n = &note{session: s}
	}
	if n != nil {
		n.lifts = lifts
	}
	s.barrier = s.barrier || effects.Setting == "client_encoding" // how the next text reads
	server.ledger.sent(pgwire.MsgQuery, 0, fromClient, n)
	s.ousted(server, nil)
	s.box.add(msg)
	if lifts {
		s.readOnlyAgain(server)
	}
	return nil
}

// queryHuge relays a Query that is too long to be looked at.
func (s *Session) queryHuge(server *Server, msg []byte) error {
	if s.cfg.Profile.readOnly {
		return s.refuseOnServer(server, pgwire.MsgQuery, errTooLong)
	}
	server.suspect = true
	if !server.mayPin(pinHuge) {
		return errTooManyPins(pgwire.Fatal)
	}
	server.pin(pinHuge)
	server.reads(&sqllex.Effects{Flags: sqllex.Opaque}, nil)
	err := s.pass(server, msg)
	s.ousted(server, nil)
	return err
}
