package relay

import (
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// This file relays a Parse in transaction mode, and has statements prepared on the server that the client happens to be
// on.

// parse relays a Parse.
func (s *Session) parse(server *Server, msg []byte, total int) error {
	body := msg[headerSize:]
	end := indexNUL(body)
	if end < 0 {
		return s.pass(server, msg) // malformed: the server's to say
	}
	if refused, err := s.refuseParse(server, msg, total); refused || err != nil {
		return err
	}
	name, tail := nameKey(body[:end]), body[end+1:]
	if s.unsettled(server, name) {
		return errMustWait
	}
	_, used := s.names[string(name)]
	switch {
	case used:
		return s.parseAgain(server, string(body[:end]), tail, total)
	case len(msg) < total, len(name) > 0 && s.texts+len(tail) > maxTexts:
		return s.parseHuge(server, msg, string(name))
	case len(name) == 0:
		return s.parseUnnamed(server, msg, tail)
	}
	st := s.cfg.Statements.get(tail)
	n := &note{action: preparing, session: s, name: string(name), st: st}
	if s.has(server, st) && !s.mayHaveFailed(server) {
		n.action = standIn
		server.ledger.sent(pgwire.MsgClose, 0, fromClient, n)
		s.box.put(pgwire.AppendClose(s.box.room(), 'S', server.unusedName()))
	} else {
		s.makeRoom(server, st)
		n.added = true
		server.ledger.sent(pgwire.MsgParse, 0, fromClient, n)
		s.counters.serverParses.Add(1)
		s.box.put(st.appendParse(s.box.room()))
		server.prepared.add(st, s.printOn(server), server.ledger.seq)
	}
	s.names[n.name] = named{st: st, name: n.name}
	s.texts += len(st.tail)
	s.counts(n)
	return nil
}

// maxTexts is how many bytes of prepared statements the broker remembers for one client; one that
// prepares more keeps its server connection (W44).
const maxTexts = 16 << 20

// counts remembers that what names mean is not known until the reply to a request.
func (s *Session) counts(n *note) {
	n.counted = true
	if n.action == allGone {
		s.namingAll++
		return
	}
	s.naming[n.name]++
}

// known ends that.
func (n *note) known() {
	if !n.counted {
		return
	}
	n.counted = false
	s := n.session
	if n.action == allGone {
		s.namingAll--
	} else if s.naming[n.name]--; s.naming[n.name] <= 0 {
		delete(s.naming, n.name)
	}
}

// unsettled says whether what a name means depends on a request of an earlier batch that has not
// been answered yet: if that fails, its batch takes it back, but not what is sent now.
func (s *Session) unsettled(server *Server, name []byte) bool {
	if s.namingAll == 0 && (len(s.naming) == 0 || s.naming[string(name)] == 0) {
		return false
	}
	return server.ledger.willAnswer()
}

// unsettledUse is unsettled for what is to be bound or described: the name of a statement, and the one
// that it deallocates.
func (s *Session) unsettledUse(server *Server, name []byte) bool {
	if s.unsettled(server, name) {
		return true
	}
	st := s.unnamed.now
	if len(name) > 0 {
		st = s.names[string(name)].st
	} else if s.unnamed.unsure(&server.ledger) && server.ledger.willAnswer() {
		return true
	}
	return st != nil && st.effects.Has(sqllex.Deallocate) && s.unsettled(server, []byte(st.effects.Name))
}

// drop takes a name away.
func (s *Session) drop(name string) {
	s.texts -= len(s.names[name].st.tail)
	delete(s.names, name)
}

// mayHaveFailed says whether the transaction may be in a failed state when the server comes to what
// is sent now: then a Parse must fail, too (W29).
func (s *Session) mayHaveFailed(server *Server) bool {
	return server.ledger.tx == 'E' || server.ledger.owesReady()
}

// makeRoom closes what stands in the way of preparing st: a copy of it that is of no use any more,
// or the statement used least recently when the server holds as many as it may.
func (s *Session) makeRoom(server *Server, st *statement) {
	if server.prepared.known[st] != nil {
		s.closeOnServer(server, st)
		return
	}
	if server.prepared.mayStay(st, server.ledger.syncAt) {
		s.closeOnServer(server, st)
	}
	if victim := server.prepared.victim(); victim != nil {
		s.closeOnServer(server, victim)
	}
}

func (s *Session) closeOnServer(server *Server, st *statement) {
	server.ledger.sent(pgwire.MsgClose, 0, fromBroker, &note{action: closed, session: s, st: st, removed: true})
	server.prepared.remove(st, server.ledger.seq)
	s.box.put(pgwire.AppendClose(s.box.room(), 'S', st.name))
}

// parseHuge relays a Parse that is too long to be looked at. Its name means the same on the server
// as to the client, and so the connection stays with the client (W44).
func (s *Session) parseHuge(server *Server, msg []byte, name string) error {
	if !server.mayPin(pinHuge) {
		return errTooManyPins(pgwire.Fatal)
	}
	server.pin(pinHuge)
	server.reads(&sqllex.Effects{Flags: sqllex.Opaque}, nil)
	st := &statement{name: name}
	if err := s.pass(server, msg); err != nil {
		return err
	}
	if name == "" {
		s.ousted(server, st)
	} else {
		s.names[name] = named{st: st, name: name}
		server.prepared.add(st, s.printOn(server), server.ledger.seq)
	}
	return nil
}

// parseUnnamed relays a Parse of the unnamed statement and remembers it (W38).
func (s *Session) parseUnnamed(server *Server, msg, tail []byte) error {
	st := newStatement("", tail)
	server.ledger.sent(pgwire.MsgParse, 0, fromClient, nil)
	s.ousted(server, st)
	s.counters.serverParses.Add(1)
	s.box.add(msg)
	return nil
}

// ousted notes that the request sent last makes st the unnamed statement; nil: it takes it away.
func (s *Session) ousted(server *Server, st *statement) {
	s.unnamed.set(st, &server.ledger)
	server.prepared.unnamed, server.prepared.unnamedAt = st, server.ledger.seq
}

// parseAgain relays a Parse under a name that the client uses already, so that the server refuses
// it, for what is wrong with its text or state first (W35). tail is what is there of its text; total
// the length of the whole message.
func (s *Session) parseAgain(server *Server, name string, tail []byte, total int) error {
	s.take(server, &note{action: replayed, session: s})
	server.ledger.sent(pgwire.MsgParse, 0, fromClient, &note{action: duplicate, session: s, name: name})
	out := appendUint32(append(s.box.room(), pgwire.MsgParse), uint32(total-1-len(name)+len(takenName)))
	out = append(append(out, takenName...), 0)
	s.box.put(append(out, tail...))
	return nil
}

// ensure has the server prepare a statement that it does not hold (W36).
func (s *Session) ensure(server *Server, st *statement) {
	if st.tail == "" {
		return // without a text it is where it was prepared, or nowhere
	}
	if st.name == "" {
		if server.prepared.unnamed != st || server.ledger.unsure(server.prepared.unnamedAt) {
			s.replayParse(server, st)
			server.prepared.unnamed, server.prepared.unnamedAt = st, server.ledger.seq
		}
		return
	}
	if s.mayBind(server, st) {
		return
	}
	s.makeRoom(server, st)
	s.replayParse(server, st)
	server.prepared.add(st, s.printOn(server), server.ledger.seq)
}

func (s *Session) replayParse(server *Server, st *statement) {
	n := &note{action: replayed, session: s, st: st, added: st.name != ""}
	server.ledger.sent(pgwire.MsgParse, 0, fromBroker, n)
	s.counters.serverParses.Add(1)
	s.box.put(st.appendParse(s.box.room()))
}
