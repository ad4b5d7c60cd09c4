package relay

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// Setup is what a session asks of the server connections that are to serve it.
type Setup struct {
	Startup []pgwire.Param // the client's start-up settings, in the order in which they apply
	Labels  []pgwire.Param // stamps, which a client may overwrite (W92)
	Fixed   []pgwire.Param // the map's settings: they win over the client's, then and later

	// ReadOnly makes transactions read only and refuses every switch back that can be seen (W93).
	ReadOnly bool
	// StatementTimeout is the longest statement_timeout that the server gets as its default; 0: any.
	// It enforces nothing: that is the owner's clock (W94).
	StatementTimeout time.Duration
	// Token makes the value of pgsignet.token for a backend's process id; nil: no token. It is a
	// secret of the session.
	Token func(pid uint32) string
	// AppStamp ends the application_name that the server sees; the client does not see it.
	AppStamp string
}

// Names of settings that the relay itself gives a meaning.
const (
	readOnlySetting = "default_transaction_read_only"
	timeoutSetting  = "statement_timeout"
	appSetting      = "application_name"
	pathSetting     = "search_path"
	tokenSetting    = "pgsignet.token"
)

// ownPrefix is that of the broker's stamps. What a client makes of them holds until the connection
// changes hands, and is never taken to another.
const ownPrefix = "pgsignet."

// Profile is what a session's start-up has set: what must hold on every server connection that
// serves it. It never changes.
type Profile struct {
	wanted paramSet // reported parameters, with the values that the server reported for them
	static *settingSet

	fixed    map[string]bool // lower-case names that the map has set
	readOnly bool
	token    func(pid uint32) string
	appStamp string
	tempPath bool // search_path puts the temporary schema first, or may: what is created is temporary
}

// NewProfile returns the profile of a session whose server connection has been given its settings
// at its login, and takes no others: a walsender.
func NewProfile(setup Setup) *Profile {
	p := &Profile{fixed: make(map[string]bool), readOnly: setup.ReadOnly}
	for _, set := range setup.Fixed {
		p.fixed[sqllex.Fold(set.Name)] = true
	}
	for _, set := range setup.settings() {
		p.tempPath = p.tempPath || sqllex.Fold(set.Name) == pathSetting && strings.Contains(sqllex.Fold(set.Value), "pg_temp")
	}
	if setup.ReadOnly {
		p.fixed[readOnlySetting] = true
	}
	return p
}

// settings are all settings of the setup in the order in which they apply.
func (u *Setup) settings() []pgwire.Param {
	all := append(append(append([]pgwire.Param{}, u.Startup...), u.Labels...), u.Fixed...)
	if u.ReadOnly {
		all = append(all, pgwire.Param{Name: readOnlySetting, Value: "on"})
	}
	if u.AppStamp != "" {
		app := ""
		for _, set := range all {
			if strings.EqualFold(set.Name, appSetting) {
				app = set.Value
			}
		}
		all = append(all, pgwire.Param{Name: appSetting, Value: stampApp(app, u.AppStamp)})
	}
	return all
}

// Adopt makes an idle connection that nobody holds fit for a new session: what an earlier session
// has left goes back to its default, then the setup applies. The reply's Error is the server's, and
// then nothing has changed. An error of Adopt's own means that the connection cannot be used.
func (s *Server) Adopt(ctx context.Context, setup Setup) (*Profile, *Reply, error) {
	p, settings := setup.profile(s.reports), setup.settings()
	sql := s.adoptSQL(p, settings)
	reply := &Reply{Status: 'I'}
	if len(sql) > 0 {
		var err error
		if reply, err = s.Exec(ctx, string(sql)); err != nil || reply.Error != nil {
			return nil, reply, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied, s.tokenOf = p.static, nil
	if p.token != nil {
		s.tokenOf = p
	}
	for _, set := range settings {
		if name, value, ok := s.params.fold(set.Name); ok && isReplayable(name) {
			p.wanted.set(name, value)
		}
	}
	return p, reply, nil
}

// adoptSQL is the one SELECT of Adopt: empty when all that the setup asks for holds already, as it
// does for an application that logs in again.
func (s *Server) adoptSQL(p *Profile, settings []pgwire.Param) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.keeps(settings)
	sql := s.cleanSQL(nil, p.static, kept)
	applied := p.static.same(s.applied) && !s.suspect
	for _, set := range settings {
		name, _, reported := s.params.fold(set.Name)
		if strings.EqualFold(set.Name, timeoutSetting) || slices.Contains(kept, name) || applied && !reported {
			continue
		}
		sql = appendSetConfig(sql, set.Name, quoteLiteral(set.Value))
	}
	if set, ok := p.static.get(timeoutSetting); ok && !applied {
		sql = appendSetting(sql, set)
	}
	return s.tokenSQL(sql, p)
}

// keeps returns the reported parameters that have the value which the settings ask for. Called with mu.
func (s *Server) keeps(settings []pgwire.Param) []string {
	var kept, otherwise []string
	for _, set := range settings {
		name, now, ok := s.params.fold(set.Name)
		switch {
		case !ok || !isReplayable(name):
		case now == set.Value:
			kept = append(kept, name)
		default:
			otherwise = append(otherwise, name)
		}
	}
	return slices.DeleteFunc(kept, func(name string) bool { return slices.Contains(otherwise, name) })
}

// tokenSQL appends what gives the connection the session's token, or takes another's away. Called
// with mu.
func (s *Server) tokenSQL(sql []byte, p *Profile) []byte {
	switch {
	case s.tokenOf == p && p.token != nil, s.tokenOf == nil && p.token == nil:
		return sql
	case p.token == nil:
		return appendSetConfig(sql, tokenSetting, "NULL")
	}
	return appendSetConfig(sql, tokenSetting, quoteLiteral(p.token(s.PID)))
}

// appLength is how much of a client's application_name is kept before the stamp, in bytes, so that
// both fit into PostgreSQL's 63.
const appLength = 40

// stampApp is a client's application_name with the session's stamp behind it.
func stampApp(app, stamp string) string {
	if len(app) > appLength {
		cut := appLength
		for cut > 0 && !utf8.RuneStart(app[cut]) {
			cut--
		}
		app = app[:cut]
	}
	return app + stamp
}

// shown is the value of a reported parameter as the client is to see it: without the stamp (W48).
func (p *Profile) shown(name, value string) string {
	if p.appStamp != "" && name == appSetting {
		return strings.TrimSuffix(value, p.appStamp)
	}
	return value
}

// Shown is what a client is told at its login of what the server has reported.
func (p *Profile) Shown(params []pgwire.Param) []pgwire.Param {
	out := make([]pgwire.Param, len(params))
	for i, set := range params {
		out[i] = pgwire.Param{Name: set.Name, Value: p.shown(set.Name, set.Value)}
	}
	return out
}

// stamped is the value that must hold on servers for one that the client has set.
func (p *Profile) stamped(name, value string) string {
	if p.appStamp != "" && name == appSetting && !strings.HasSuffix(value, p.appStamp) {
		return stampApp(value, p.appStamp)
	}
	return value
}
