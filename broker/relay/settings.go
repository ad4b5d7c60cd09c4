package relay

import (
	"context"
	"slices"
	"strings"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Profile is what a session's start-up has set: what must hold on every server connection that
// serves it.
type Profile struct {
	wanted paramSet // reported parameters, with the values that the server reported for them
	static *settingSet
}

// settingSet is a set of settings that servers do not report, in the order in which they apply. It
// never changes; two with the same key are the same.
type settingSet struct {
	list []setting
	key  string
}

// setting is a parameter with a value for set_config, or with a SET statement of the client's.
type setting struct {
	name  string // lower case
	value string
	sql   string // when not empty, the statement that sets it
}

// replayable are the parameters that servers report and clients can set. The others that are
// reported cannot be replayed: they are facts about the server.
var replayable = []string{
	"client_encoding", "DateStyle", "IntervalStyle", "TimeZone", "standard_conforming_strings",
	"application_name", "default_transaction_read_only", "scram_iterations", "search_path",
}

func isReplayable(name string) bool {
	return slices.ContainsFunc(replayable, func(r string) bool { return strings.EqualFold(r, name) })
}

// with returns the set with one setting added or replaced.
func (s *settingSet) with(add setting) *settingSet {
	next := &settingSet{}
	if s != nil {
		for _, old := range s.list {
			if old.name != add.name {
				next.list = append(next.list, old)
			}
		}
	}
	next.list = append(next.list, add)
	var key strings.Builder
	for _, e := range next.list {
		key.WriteString(e.name + "\x00" + e.value + "\x00" + e.sql + "\x00")
	}
	next.key = key.String()
	return next
}

func (s *settingSet) same(o *settingSet) bool {
	return s == o || (s.size() == 0 && o.size() == 0) || (s != nil && o != nil && s.key == o.key)
}

func (s *settingSet) size() int {
	if s == nil {
		return 0
	}
	return len(s.list)
}

func (s *settingSet) get(name string) (setting, bool) {
	if s != nil {
		for _, e := range s.list {
			if e.name == name {
				return e, true
			}
		}
	}
	return setting{}, false
}

// Adopt makes an idle connection that nobody holds fit for a new session: what an earlier session
// has left goes back to its default, then settings apply in their order. The reply's Error is the
// server's, and then nothing has changed. An error of Adopt's own means that the connection cannot
// be used.
func (s *Server) Adopt(ctx context.Context, settings []pgwire.Param) (*Profile, *Reply, error) {
	p := &Profile{}
	for _, set := range settings {
		if !s.reports(set.Name) {
			p.static = p.static.with(setting{name: strings.ToLower(set.Name), value: set.Value})
		}
	}
	s.mu.Lock()
	sql := s.cleanSQL(nil, p.static)
	s.mu.Unlock()
	for _, set := range settings {
		sql = appendSetConfig(sql, set.Name, quoteLiteral(set.Value))
	}
	reply := &Reply{Status: 'I'}
	if len(sql) > 0 {
		var err error
		if reply, err = s.Exec(ctx, string(sql)); err != nil || reply.Error != nil {
			return nil, reply, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied = p.static
	for _, set := range settings {
		if name, value, ok := s.params.fold(set.Name); ok && isReplayable(name) {
			p.wanted.set(name, value)
		}
	}
	return p, reply, nil
}

// reports says whether the server reports that parameter.
func (s *Server) reports(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, ok := s.params.fold(name)
	return ok
}

// cleanSQL appends what takes back the settings of earlier sessions, but for those in keep. Called
// with mu.
func (s *Server) cleanSQL(sql []byte, keep *settingSet) []byte {
	for _, name := range replayable {
		now, ok := s.params.get(name)
		if base, known := s.base.get(name); ok && known && now != base {
			sql = appendSetConfig(sql, name, "NULL")
		}
	}
	return s.resetRest(sql, keep)
}

// resetRest appends what takes back applied settings that keep does not have.
func (s *Server) resetRest(sql []byte, keep *settingSet) []byte {
	if s.applied == nil {
		return sql
	}
	for _, old := range s.applied.list {
		if _, ok := keep.get(old.name); !ok {
			sql = appendSetConfig(sql, old.name, "NULL")
		}
	}
	return sql
}

// replaySQL returns what makes the connection fit for the session, or nothing. The caller sends it
// ahead of the session's requests (W46-W51). Called with mu.
func (s *Server) replaySQL(c *Session) []byte {
	var sql []byte
	for _, name := range replayable {
		now, ok := s.params.get(name)
		if !ok {
			continue
		}
		base, _ := s.base.get(name)
		want, wanted := c.wanted.get(name)
		switch {
		case wanted && want != now:
			sql = appendSetConfig(sql, name, quoteLiteral(want))
		case !wanted && base != now:
			sql = appendSetConfig(sql, name, "NULL")
		}
	}
	if c.static.same(s.applied) {
		return sql
	}
	sql = s.resetRest(sql, c.static)
	var statements []byte
	if c.static != nil {
		for _, set := range c.static.list {
			if old, ok := s.applied.get(set.name); ok && old == set {
				continue
			}
			if set.sql != "" {
				statements = append(append(statements, ';'), set.sql...)
				continue
			}
			sql = appendSetConfig(sql, set.name, quoteLiteral(set.value))
		}
	}
	if len(sql) == 0 && len(statements) > 0 {
		statements = statements[1:]
	}
	return append(sql, statements...)
}

// tell returns the ParameterStatus messages that the client needs so that it knows the connection
// it is about to use: one for each value that differs from what it last saw (W48). Called with mu,
// before the replay.
func (s *Server) tell(c *Session) []byte {
	var out []byte
	for i := range s.params.params {
		p := &s.params.params[i]
		value := p.Value
		if isReplayable(p.Name) {
			if want, ok := c.wanted.get(p.Name); ok {
				value = want
			} else if base, ok := s.base.get(p.Name); ok {
				value = base
			}
		}
		if seen, ok := c.seen.get(p.Name); !ok || seen != value {
			c.seen.set(p.Name, value)
			out = pgwire.AppendParameterStatus(out, p.Name, value)
		}
	}
	return out
}

// appendSetConfig appends one more column to a SELECT of set_config calls (W49). value is a literal,
// or NULL for the default.
func appendSetConfig(sql []byte, name, value string) []byte {
	if len(sql) == 0 {
		sql = append(sql, "SELECT "...)
	} else {
		sql = append(sql, ", "...)
	}
	sql = append(sql, "pg_catalog.set_config("...)
	sql = append(sql, quoteLiteral(name)...)
	sql = append(sql, ", "...)
	sql = append(sql, value...)
	return append(sql, ", false)"...)
}

// quoteLiteral returns s as an SQL string literal that reads the same whatever
// standard_conforming_strings is, as PostgreSQL's quote_literal does. s holds no NUL.
func quoteLiteral(s string) string {
	quoted := strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		return ` E'` + strings.ReplaceAll(quoted, `\`, `\\`) + `'`
	}
	return `'` + quoted + `'`
}
