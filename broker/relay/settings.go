package relay

import (
	"bytes"
	"slices"
	"strings"
	"unique"

	"github.com/pgsignet/pgsignet/pgwire"
)

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
	reset bool   // its default
	max   string // when not empty, the longest duration it may have, in milliseconds
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
			} else if add.max == "" {
				add.max = old.max
			}
		}
	}
	next.list = append(next.list, add)
	var key strings.Builder
	for _, e := range next.list {
		key.WriteString(e.name + "\x00" + e.value + "\x00" + e.sql + "\x00" + e.max + "\x00")
	}
	next.key = key.String()
	return next
}

// capped returns the set with a limit in milliseconds to one setting, whatever its value.
func (s *settingSet) capped(name, max string) *settingSet {
	set, ok := s.get(name)
	if !ok {
		set = setting{name: name, reset: true}
	}
	set.max = max
	return s.with(set)
}

func (s *settingSet) same(o *settingSet) bool {
	return s == o || (s.size() == 0 && o.size() == 0) || (s != nil && o != nil && s.key == o.key)
}

// without returns the set without that setting.
func (s *settingSet) without(name string) *settingSet {
	if _, ok := s.get(name); !ok {
		return s
	}
	next := (*settingSet)(nil)
	for _, e := range s.list {
		if e.name != name {
			next = next.with(e)
		}
	}
	return next
}

// entries are the settings, of nil none.
func (s *settingSet) entries() []setting {
	if s == nil {
		return nil
	}
	return s.list
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

// reports says whether the server reports that parameter.
func (s *Server) reports(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, ok := s.params.fold(name)
	return ok
}

// cleanSQL appends what takes back the settings of earlier sessions, but for those in keep and the
// reported ones in kept. Called with mu.
func (s *Server) cleanSQL(sql []byte, keep *settingSet, kept []string) []byte {
	for _, name := range replayable {
		now, ok := s.params.get(name)
		if base, known := s.base.get(name); ok && known && now != base && !slices.Contains(kept, name) {
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
	sql := s.reportedSQL(c)
	if c.static.same(s.applied) && !s.suspect {
		return s.tokenSQL(sql, c.cfg.Profile)
	}
	sql = s.resetRest(sql, c.static)
	var statements [][]byte
	if c.static != nil {
		for _, set := range c.static.list {
			old, ok := s.applied.get(set.name)
			switch {
			case ok && old == set && !(s.suspect && c.cfg.Profile.fixed[set.name]):
			case set.sql != "":
				statements = append(statements, []byte(set.sql))
				if set.max != "" {
					statements = append(statements, appendSetting(nil, set))
				}
			default:
				sql = appendSetting(sql, set)
			}
		}
	}
	if sql = s.tokenSQL(sql, c.cfg.Profile); len(sql) > 0 {
		statements = append([][]byte{sql}, statements...)
	}
	return bytes.Join(statements, []byte("\n;")) // a line comment may be last
}

// reportedSQL is the part of replaySQL for parameters that the server reports.
func (s *Server) reportedSQL(c *Session) (sql []byte) {
	now := agreement{params: s.params.same(), base: s.base.same(), client: c.wanted.same()}
	if c.fitting == now {
		return nil
	}
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
	if len(sql) == 0 {
		c.fitting = now
	}
	return sql
}

// agreement is what a comparison of a server connection's parameters with a session's has found
// nothing to do for. Most connections of a pool report the same, so that the comparison is made
// once and not at every lease.
type agreement struct{ params, base, client unique.Handle[string] }

// tell returns the ParameterStatus messages that the client needs so that it knows the connection
// it is about to use: one for each value that differs from what it last saw (W48). Called with mu,
// before the replay.
func (s *Server) tell(c *Session) []byte {
	now := agreement{params: s.params.same(), base: s.base.same(), client: c.seen.same()}
	if c.told == now && c.toldWanted == c.wanted.same() {
		return nil
	}
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
		value = c.cfg.Profile.shown(p.Name, value)
		if seen, ok := c.seen.get(p.Name); !ok || seen != value {
			c.seen.set(p.Name, value)
			out = pgwire.AppendParameterStatus(out, p.Name, value)
		}
	}
	if len(out) == 0 {
		c.told, c.toldWanted = now, c.wanted.same()
	}
	return out
}

// appendSetting appends a setting's value, unless a statement of its own has set it, and its cap.
func appendSetting(sql []byte, set setting) []byte {
	switch {
	case set.sql != "":
	case set.reset:
		sql = appendSetConfig(sql, set.name, "NULL")
	default:
		sql = appendSetConfig(sql, set.name, quoteLiteral(set.value))
	}
	if set.max == "" {
		return sql
	}
	now := "pg_catalog.current_setting(" + quoteLiteral(set.name) + ")"
	asInterval := now + "::pg_catalog.interval"
	return appendSetConfig(sql, set.name, "CASE WHEN "+asInterval+" OPERATOR(pg_catalog.>) '0'::pg_catalog.interval AND "+
		asInterval+" OPERATOR(pg_catalog.<) '"+set.max+" milliseconds'::pg_catalog.interval THEN "+now+" ELSE '"+set.max+"' END")
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
