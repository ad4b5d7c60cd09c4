package relay

import (
	"strconv"
	"strings"

	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// This file holds under which settings a text was prepared. What its literals mean is decided then: two
// sessions that read a date in two ways cannot use one prepared statement.

// print tells apart the settings under which a text may be read differently: two sessions with the
// same print can use one prepared statement.
func (s *Session) print() string {
	if s.printed == nil {
		var b strings.Builder
		for _, name := range replayable {
			if value, ok := s.wanted.get(name); ok && name != "application_name" {
				b.WriteString(name + "\x00" + value + "\x00")
			}
		}
		if s.static != nil {
			b.WriteString(s.static.key)
		}
		text := b.String()
		s.printed = &text
	}
	return *s.printed
}

// changesReading are the effects after which a text may be read otherwise than by the settings that the
// session is known to have: until the transaction has ended well, what it has set is not (W46). What a
// single SET and those of a transaction set is looked at.
const (
	changesReading = sqllex.SetOther | sqllex.Reset | sqllex.ResetAll | sqllex.DiscardAll | sqllex.Dirty | sqllex.Opaque
	maySetReading  = sqllex.SetLone | sqllex.SetLocal
)

// reads notes that the settings may change by what is about to be sent: what is prepared from here on, up
// to the next boundary, is read in a way of its own. Called with mu.
func (s *Server) reads(e *sqllex.Effects, text func() string) {
	if s.private != "" || !e.Has(changesReading) && !(e.Has(maySetReading) && setsReading(text())) {
		return
	}
	s.privates++
	s.private = "\x00" + strconv.FormatUint(s.privates, 36) // no print of a session begins so
}

// setsReading says whether a text may give a parameter that matters a value, or its default.
func setsReading(text string) bool {
	return mentions([]byte(text), "default") || sqllex.Assigns(text, readingDepends) != ""
}

// readingDepends says whether how a text is read may depend on a parameter. It does not on those of
// applications and extensions, nor on those that transactions set most; PostgreSQL itself looks again at what
// was prepared when search_path or the role is another.
func readingDepends(name string) bool {
	switch name {
	case pathSetting, timeoutSetting, appSetting, "role", "lock_timeout", "idle_in_transaction_session_timeout",
		"transaction_timeout", "work_mem", "maintenance_work_mem", "synchronous_commit", "client_min_messages":
		return false
	}
	return !strings.Contains(name, ".")
}

// readsAgain ends that, at a boundary, unless settings are pinned. Called with mu.
func (s *Server) readsAgain() {
	if s.pins&(sqllex.SetOther|pinHuge) == 0 {
		s.private = ""
	}
}

// printOn is the print of what the session prepares on that connection now.
func (s *Session) printOn(server *Server) string {
	if server.private != "" {
		return server.private
	}
	return s.print()
}

// has says whether the server holds the statement as the session would have it read now.
func (s *Session) has(server *Server, st *statement) bool {
	return server.prepared.has(st, s.printOn(server), server.ledger.syncAt)
}

// mayBind says whether the server holds the statement as the session has prepared it: now, or before it changed
// its settings.
func (s *Session) mayBind(server *Server, st *statement) bool {
	return s.has(server, st) || server.private != "" && server.prepared.has(st, s.print(), server.ledger.syncAt)
}
