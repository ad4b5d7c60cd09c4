package relay

import (
	"bytes"
	"fmt"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// This file holds what a map forbids its sessions to say: to leave read-only transactions (W93), and
// to set what the map has set. It is a guard rail: it sees what the lexer sees, and the server's
// reports. Where it refuses, the server fails in its stead, so that the refusal has its place among
// the replies and takes the transaction with it (W24).

// ReadOnlyLost is the end of a read-only session whose server says that it is not any more.
const ReadOnlyLost Reason = "read_only"

// guarded says whether the session's statements are looked at, in session mode, too.
func (p *Profile) guarded() bool { return len(p.fixed) > 0 }

func (p *Profile) isFixed(name string) bool {
	return p.fixed[name] && name != readOnlySetting
}

// forbid returns why a statement may not be sent, or nil. lone says that it is a Query of its own at
// a boundary: then what it resets can be set again right behind it.
func (s *Session) forbid(server *Server, e *sqllex.Effects, lone bool, text func() string) *pgwire.Error {
	p := s.cfg.Profile
	if !p.guarded() || e.Flags == 0 {
		return nil
	}
	if p.readOnly && (e.Has(sqllex.ReadWrite) || e.Has(resets) && !lone) {
		return errReadOnly
	}
	if e.Has(sqllex.SetLone | sqllex.SetOther | sqllex.SetLocal) {
		if name := sqllex.Assigns(text(), p.isFixed); name != "" {
			return &pgwire.Error{
				Severity: pgwire.Err, Code: pgwire.InsufficientPrivilege, Slug: "fixed_setting",
				Message: fmt.Sprintf("permission denied to set parameter %q", name),
			}
		}
	}
	if e.Has(sqllex.SetOther | sqllex.Dirty | sqllex.Opaque) {
		server.suspect = true
	}
	return nil
}

// resets are the effects that give every setting its default.
const resets = sqllex.ResetAll | sqllex.DiscardAll

var errReadOnly = &pgwire.Error{
	Severity: pgwire.Err, Code: pgwire.ReadOnlySQLTransaction, Slug: "read_only",
	Message: "cannot leave read-only mode: this session may only read",
}

// lone says whether a Query with that effect would be alone on the connection, outside a block.
func (s *Session) lone(server *Server, e *sqllex.Effects) bool {
	l := &server.ledger
	return e.Statements == 1 && l.tx == 'I' && !l.open && !l.owesClient()
}

// guardQuery relays a Query in session mode, for a map that has a say in it.
func (s *Session) guardQuery(server *Server, msg []byte, total int) error {
	if len(msg) < total {
		return s.guardHuge(server, msg)
	}
	text := string(bytes.TrimSuffix(msg[headerSize:], []byte{0}))
	effects := sqllex.Classify(text)
	if refusal := s.forbid(server, &effects, s.lone(server, &effects), func() string { return text }); refusal != nil {
		return s.refuseOnServer(server, pgwire.MsgQuery, refusal)
	}
	if effects.Has(resets) && s.cfg.Profile.readOnly {
		server.ledger.sent(pgwire.MsgQuery, 0, fromClient, &note{session: s, lifts: true})
		s.box.add(msg)
		s.readOnlyAgain(server)
		return nil
	}
	return s.pass(server, msg)
}

// guardParse is guardQuery for a Parse.
func (s *Session) guardParse(server *Server, msg []byte, total int) error {
	if refused, err := s.refuseParse(server, msg, total); refused || err != nil {
		return err
	}
	return s.pass(server, msg)
}

// refuseParse refuses a Parse of what the map forbids, in both modes.
func (s *Session) refuseParse(server *Server, msg []byte, total int) (refused bool, err error) {
	if !s.cfg.Profile.guarded() {
		return false, nil
	}
	if len(msg) < total {
		if s.cfg.Profile.readOnly {
			return true, s.refuseOnServer(server, msg[0], errTooLong)
		}
		server.suspect = true
		return false, nil
	}
	_, rest, _ := bytes.Cut(msg[headerSize:], []byte{0})
	sql, _, _ := bytes.Cut(rest, []byte{0})
	text := string(sql)
	effects := sqllex.Classify(text)
	if refusal := s.forbid(server, &effects, false, func() string { return text }); refusal != nil {
		return true, s.refuseOnServer(server, pgwire.MsgParse, refusal)
	}
	return false, nil
}

// guardHuge relays a Query that is too long to be looked at: a read-only session gets none through.
func (s *Session) guardHuge(server *Server, msg []byte) error {
	if s.cfg.Profile.readOnly {
		return s.refuseOnServer(server, msg[0], errTooLong)
	}
	server.suspect = true
	return s.pass(server, msg)
}

var errTooLong = &pgwire.Error{
	Severity: pgwire.Err, Code: pgwire.ReadOnlySQLTransaction, Slug: "read_only",
	Message: fmt.Sprintf("statements of a read-only session are limited to %d bytes", inspectLimit-headerSize-1),
}

// readOnlyAgain sets the read-only default right behind a statement that resets it, before anything
// that the client sends next.
func (s *Session) readOnlyAgain(server *Server) {
	server.ledger.sent(pgwire.MsgQuery, 0, fromBroker, &note{mustSucceed: true})
	s.box.put(pgwire.AppendQuery(s.box.room(), string(appendSetConfig(nil, readOnlySetting, "'on'"))))
}

// readOnlyLost acts on a server that reports default_transaction_read_only. Nothing but a RESET that
// was let through may have switched it off: whatever else has, the session is over. Called with the
// server's mu.
func (s *Server) readOnlyLost(name, value string) {
	if s.session == nil || name != readOnlySetting || value != "off" || !s.session.cfg.Profile.readOnly {
		return
	}
	if head, ok := s.ledger.fifo.head(); ok && head.note != nil && head.note.lifts {
		return
	}
	s.ends = s.session.end.CompareAndSwap(nil, &End{Reason: ReadOnlyLost, Tell: &pgwire.Error{
		Severity: pgwire.Fatal, Code: pgwire.ReadOnlySQLTransaction, Slug: string(ReadOnlyLost),
		Message: "terminating connection: this session may only read",
	}})
}

// owesClient says whether a request of the client's is unanswered.
func (l *ledger) owesClient() bool {
	return l.any(func(t token) bool { return t.origin == fromClient }) || l.copy != copyNone || l.doubt != certain || l.skip
}

// runs says whether a statement of the client's is unanswered.
func (l *ledger) runs() bool {
	return l.any(func(t token) bool {
		return t.origin == fromClient && (t.kind == kindQuery || t.kind == kindExecute || t.kind == kindFunction)
	})
}

func (l *ledger) any(yes func(token) bool) bool {
	for i := range l.fifo.size {
		if yes(l.fifo.buf[(l.fifo.at+i)%len(l.fifo.buf)]) {
			return true
		}
	}
	return false
}
