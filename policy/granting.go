package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// grant builds what a map that fits grants. Settings that fail refuse the login.
func (d *decision) grant(rule *rule, role string) (*Grant, outcome) {
	settings, o := d.settings(rule)
	if o.err != nil {
		return nil, o
	}
	g := &Grant{
		Rule: rule.ref, Matched: rule.matched, Captures: d.groups(rule), Role: role, Database: d.r.Database,
		PoolMode: rule.PoolMode, Audit: rule.Audit, Admin: rule.Admin,
		Replication: rule.Replication, FingerprintOnly: rule.FingerprintOnly, Limits: rule.Limits,
		Session:     rule.session(settings),
		IdentityKey: identityKey(d.r.Identity),
	}
	if rule.Admin == "" {
		g.Upstream, g.DBName = d.target.db.Upstream, d.target.db.DBName
	}
	if d.r.Replication {
		g.PoolMode = "session"
	}
	return g, o
}

// session copies what does not depend on the login.
func (r *rule) session(settings []Setting) Session {
	s := &r.Session
	return Session{ReadOnly: s.ReadOnly, StatementTimeout: s.StatementTimeout, IdleTimeout: s.IdleTimeout,
		MaxDuration: s.MaxDuration, Settings: settings, Stamp: s.Stamp, StampSet: s.StampSet}
}

// settings evaluates the map's settings, sorted by name.
func (d *decision) settings(rule *rule) ([]Setting, outcome) {
	var out []Setting
	for _, s := range rule.Session.Settings {
		v, err := d.eval(s.Value, cty.String)
		if err == nil && strings.ContainsRune(v.AsString(), 0) {
			err = fmt.Errorf("the value holds a zero byte")
		}
		if err != nil {
			return nil, outcome{step: atSettings, err: fmt.Errorf("%s: %w", s.Name, err)}
		}
		out = append(out, Setting{Name: s.Name, Value: v.AsString()})
	}
	slices.SortFunc(out, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return out, outcome{step: fits}
}

// groups lists the captures of the value that fitted.
func (d *decision) groups(rule *rule) []string {
	if rule.capture == nil {
		return nil
	}
	hits := d.hitsOf(rule.capture)
	if len(hits) == 0 {
		return nil
	}
	out := make([]string, rule.capture.groups)
	for i := range out {
		out[i] = hits[0].group(i + 1)
	}
	return out
}
