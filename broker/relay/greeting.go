package relay

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// Greeting is what one session's login has shown of the servers of its pool: enough to welcome
// another with the same setup without a server connection. It never changes.
type Greeting struct {
	Params  []pgwire.Param // what the servers report with that setup
	profile *Profile
}

// Greeting is what p, which the server has just adopted and still holds, says of later logins.
func (s *Server) Greeting(p *Profile, setup *Setup) *Greeting {
	if setup.stamped() {
		p = &Profile{wanted: p.wanted} // what else it has is one session's
	}
	return &Greeting{Params: s.Params(), profile: p}
}

// Profile is what a session with that setup, whose Key is the greeting's, has to find on its servers.
func (g *Greeting) Profile(setup *Setup) *Profile {
	if !setup.stamped() {
		return g.profile
	}
	known := paramSet{params: g.Params}
	p := setup.profile(func(name string) bool {
		_, _, ok := known.fold(name)
		return ok
	})
	p.wanted.load(g.profile.wanted.params)
	return p
}

// stamped says whether the setup has what no other session's has.
func (u *Setup) stamped() bool { return len(u.Labels) > 0 || u.Token != nil }

// Key appends to b what is equal for two setups that a server takes alike. The order of settings with
// different names does not count: a driver may keep them in a map. Nor do stamps: they have names of
// their own, and any value is taken. ok is false for a setup that is like no other: its
// application_name has a stamp, which the server's report of it ends with.
func (u *Setup) Key(b []byte) (_ []byte, ok bool) {
	for _, list := range [][]pgwire.Param{inOrder(u.Startup), u.Fixed} {
		for i := range list {
			b = append(append(b, list[i].Name...), 0)
			b = append(append(b, list[i].Value...), 0)
		}
		b = append(b, 0) // no name is empty
	}
	b = strconv.AppendBool(b, u.ReadOnly)
	b = strconv.AppendBool(b, u.stamped())
	return strconv.AppendInt(b, int64(u.StatementTimeout), 10), u.AppStamp == ""
}

// inOrder returns settings in the order of their names; those of one name, which PostgreSQL takes without
// case, stay as they are.
func inOrder(list []pgwire.Param) []pgwire.Param {
	byName := func(a, b pgwire.Param) int { return strings.Compare(sqllex.Fold(a.Name), sqllex.Fold(b.Name)) }
	if slices.IsSortedFunc(list, byName) {
		return list
	}
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, byName)
	return sorted
}

// profile is the setup's, but for the reported values that only a server can tell.
func (u *Setup) profile(reported func(name string) bool) *Profile {
	p := NewProfile(*u)
	p.token, p.appStamp = u.Token, u.AppStamp
	for _, set := range u.settings() {
		if !reported(set.Name) {
			p.static = p.static.with(setting{name: sqllex.Fold(set.Name), value: set.Value})
		}
	}
	if u.StatementTimeout > 0 {
		p.static = p.static.capped(timeoutSetting, strconv.FormatInt(u.StatementTimeout.Milliseconds(), 10))
	}
	return p
}
