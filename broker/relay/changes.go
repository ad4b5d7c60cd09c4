package relay

import (
	"strings"

	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// This file holds what becomes of settings that clients change: they are taken over when their
// transaction has ended well, and not before (W46, W51).

// change is one statement that changes settings, by its meaning.
type change struct {
	set   *setting // a lone SET; else:
	reset string   // RESET of that name, in lower case
	all   bool     // RESET ALL or DISCARD ALL
}

// takenBack are the settings that a transaction has taken back.
type takenBack struct {
	names []string
	all   bool
}

func (r *takenBack) has(name string) bool {
	if r.all {
		return true
	}
	for _, n := range r.names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// settled takes over what the transaction that has just ended has changed, and ends the pins that it
// ended. Called with the server's mu.
func (s *Session) settled(server *Server) {
	server.unpin(server.unpins)
	server.unpins = 0
	if len(s.pending) == 0 && len(server.changed) == 0 {
		return
	}
	var back takenBack
	for i := range s.pending {
		s.apply(server, &s.pending[i], &back)
	}
	s.pending, s.committed = s.pending[:0], 0
	if server.recheck { // what has changed along with a RESET was taken back by it
		back.names = append(back.names, server.changed...)
	}
	if len(server.changed) > 0 || back.all || len(back.names) > 0 {
		s.reported(server, &back)
	}
	server.changed, s.printed = server.changed[:0], nil
}

// apply takes over one change of settings that servers do not report.
func (s *Session) apply(server *Server, c *change, back *takenBack) {
	home := s.cfg.Profile.static
	switch {
	case c.all:
		back.all = true
		server.forgetSettings()
		s.static = home
	case c.set == nil:
		back.names = append(back.names, c.reset)
		if c.reset == tokenSetting {
			server.tokenOf = nil
		}
		server.applied, s.static = server.applied.without(c.reset), s.static.without(c.reset)
		if start, ok := home.get(c.reset); ok {
			s.static = s.static.with(start)
		}
	default:
		if _, _, reported := server.params.fold(c.set.name); reported {
			return // its value came in a ParameterStatus
		}
		switch {
		case c.set.name == tokenSetting:
			server.tokenOf = nil // but what the client made of it is there, until another session takes it back
		case !s.cfg.Profile.fixed[c.set.name] && !strings.HasPrefix(c.set.name, ownPrefix):
			s.static = s.static.with(*c.set)
		}
		server.applied = server.applied.with(*c.set)
	}
}

// forgetSettings notes that every setting that was applied may be gone. Called with mu.
func (s *Server) forgetSettings() { s.applied, s.tokenOf = nil, nil }

// reported takes over the values that the server has reported for settings that clients change.
func (s *Session) reported(server *Server, back *takenBack) {
	for _, name := range replayable {
		now, ok := server.params.get(name)
		if !ok || s.cfg.Profile.fixed[sqllex.Fold(name)] {
			continue // the map's value is put back
		}
		base, _ := server.base.get(name)
		want, wanted := s.wanted.get(name)
		start, started := s.cfg.Profile.wanted.get(name)
		switch {
		case back.has(name) && now == base && started:
			s.wanted.set(name, start)
		case back.has(name) && now == base:
			s.wanted.remove(name)
		case wanted && now != want, !wanted && now != base:
			s.wanted.set(name, s.cfg.Profile.stamped(name, now))
		}
	}
}

// undone drops the changes of a transaction that has failed, or may have. What a savepoint kept is
// not known: the connection is reset before anybody else gets it.
func (s *Session) undone(server *Server) {
	server.unpins = 0
	if len(s.pending) > s.committed {
		s.pending, server.dirty = s.pending[:s.committed], true
	}
}

// tagged acts on the command tag of a statement, whichever way it came in. Called with the server's
// mu.
func (s *Session) tagged(server *Server, tag string, n *note) {
	switch tag {
	case "COMMIT", "DISCARD ALL": // what follows in the batch may yet fail
		s.committed = len(s.pending)
		server.unpin(server.unpins)
		server.unpins = 0
	}
	if s.cfg.Mode == TransactionMode && n != nil && n.change != nil {
		return // a statement on its own: its effect is known
	}
	switch tag {
	case "ROLLBACK":
		s.undone(server)
	case "RESET", "DISCARD ALL":
		server.recheck, server.tokenOf, server.suspect = true, nil, true
	case "SET":
		server.recheckSet = server.recheckSet || s.defaults
	}
}

// mayDefault remembers that a text may set a parameter TO DEFAULT, which has the tag of any SET. Only
// for sessions whose start-up has set something.
func (s *Session) mayDefault(text []byte, whole bool) {
	if !s.defaults && (len(s.cfg.Profile.wanted.params) > 0 || s.cfg.Profile.static.size() > 0) {
		s.defaults = !whole || mentions(text, "default")
	}
}

// mentions says whether word, in lower case, is somewhere in text, in any case.
func mentions(text []byte, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if text[i]|0x20 == word[0] && strings.EqualFold(string(text[i:i+len(word)]), word) {
			return true
		}
	}
	return false
}

// giveBack gives back the start-up settings that a RESET or SET TO DEFAULT has taken, where the text
// of the statement is not known or one of several: in a session of PostgreSQL's own they are the
// defaults that RESET goes back to (W51). What the client has set stays. Called with the server's mu,
// at a boundary.
func (s *Session) giveBack(server *Server) {
	if !server.recheck && !server.recheckSet {
		return
	}
	server.recheck, server.recheckSet = false, false
	var rows []string
	row := func(name, value string) {
		rows = append(rows, "("+quoteLiteral(sqllex.Fold(name))+", "+quoteLiteral(value)+")")
	}
	for _, p := range s.cfg.Profile.wanted.params {
		row(p.Name, p.Value)
	}
	for _, set := range s.cfg.Profile.static.entries() {
		if set.reset {
			set.value = set.max
		}
		row(set.name, set.value)
	}
	if len(rows) == 0 {
		return
	}
	s.replayExtended(server, "SELECT pg_catalog.set_config(w.name, w.value, false) FROM (VALUES "+strings.Join(rows, ", ")+
		") AS w(name, value) LEFT JOIN pg_catalog.pg_settings AS s ON pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) w.name"+
		" WHERE coalesce(s.source OPERATOR(pg_catalog.<>) 'session',"+
		" coalesce(pg_catalog.current_setting(w.name, true), '') OPERATOR(pg_catalog.=) '')")
}

// holds says whether the server reports that value. Called with mu.
func (s *Server) holds(name, value string) bool {
	now, ok := s.params.get(name)
	return ok && now == value
}

// goingHome lists the parameters that a replay for the session takes back to the server's default.
// Called with mu.
func (s *Server) goingHome(c *Session) (names []string) {
	for _, name := range replayable {
		now, ok := s.params.get(name)
		if base, known := s.base.get(name); ok && known && now != base {
			if _, wanted := c.wanted.get(name); !wanted {
				names = append(names, name)
			}
		}
	}
	return names
}

// rebase takes the values of parameters that have just been taken back for the server's defaults:
// its configuration may have been reloaded since the login. Called with mu.
func (s *Server) rebase(names []string) {
	for _, name := range names {
		if now, ok := s.params.get(name); ok {
			s.setBase(name, now)
		}
	}
}

// setBase takes a value for the server's default. Called with mu.
func (s *Server) setBase(name, value string) {
	if old, ok := s.base.get(name); !ok || old != value {
		s.base.set(name, value)
		s.notice(Event{Kind: BaseChanged})
	}
}

// replyTag is the command tag in a CommandComplete.
func replyTag(body []byte) string { return string(body[:max(0, indexNUL(body))]) }
