package main

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// explanationJSON is the form of `explain --json`. Names are stable; fields may be added.
type explanationJSON struct {
	Login       loginJSON           `json:"login"`
	Certificate certificateJSON     `json:"certificate"`
	Identity    map[string][]string `json:"identity,omitempty"`
	Rules       []stepJSON          `json:"rules"`
	Granted     bool                `json:"granted"`
	Grant       *grantJSON          `json:"grant,omitempty"`
	Refusal     *refusalJSON        `json:"refusal,omitempty"`
}

type loginJSON struct {
	File        string    `json:"file"`
	Listener    string    `json:"listener"`
	User        string    `json:"user"`
	Database    string    `json:"database"`
	Address     string    `json:"address,omitempty"`
	Application string    `json:"application_name,omitempty"`
	Replication bool      `json:"replication,omitempty"`
	Time        time.Time `json:"time"`
}

type certificateJSON struct {
	Accepted   bool        `json:"accepted"`
	Revocation string      `json:"revocation,omitempty"`
	NotAfter   *time.Time  `json:"not_after,omitempty"` // of the chain
	Chains     []chainJSON `json:"chains"`
	Checks     []checkJSON `json:"checks"`
}

type chainJSON struct {
	Subjects []string `json:"subjects"` // leaf first
	Anchor   string   `json:"anchor,omitempty"`
}

type checkJSON struct {
	Chain       int    `json:"chain"`
	Certificate int    `json:"certificate"` // in the chain, leaf 0; -1: none in particular
	Name        string `json:"name"`
	Rule        string `json:"rule,omitempty"`
	Pass        bool   `json:"pass"`
	Evidence    string `json:"evidence,omitempty"`
}

type stepJSON struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	File      string `json:"file"`
	Line      int    `json:"line"`
	Reached   bool   `json:"reached"`
	Fits      bool   `json:"fits"`
	Condition string `json:"condition,omitempty"`
	Want      string `json:"want,omitempty"`
	Got       string `json:"got,omitempty"`
}

type grantJSON struct {
	Map              string            `json:"map"`
	File             string            `json:"file"`
	Line             int               `json:"line"`
	Role             string            `json:"role"`
	Captures         []string          `json:"captures,omitempty"`
	Upstream         string            `json:"upstream,omitempty"`
	Database         string            `json:"database,omitempty"` // on the server
	PoolMode         string            `json:"pool_mode,omitempty"`
	Audit            string            `json:"audit,omitempty"`
	Admin            string            `json:"admin,omitempty"`
	Replication      bool              `json:"replication"`
	FingerprintOnly  bool              `json:"fingerprint_only"`
	ReadOnly         bool              `json:"read_only"`
	StatementTimeout float64           `json:"statement_timeout_s,omitempty"`
	IdleTimeout      float64           `json:"idle_timeout_s,omitempty"`
	MaxDuration      float64           `json:"max_duration_s,omitempty"`
	Settings         map[string]string `json:"settings,omitempty"`
	Stamp            []string          `json:"stamp,omitempty"`
	Sessions         int               `json:"limit_sessions,omitempty"`
	MapSessions      int               `json:"limit_map_sessions,omitempty"`
	Pool             int               `json:"limit_pool,omitempty"`
	IdentityKey      string            `json:"identity"`
}

type refusalJSON struct {
	Reason   string `json:"reason"`
	SQLState string `json:"sqlstate"`
	Public   string `json:"public"` // what the client reads
	Rule     string `json:"rule,omitempty"`
	Cause    string `json:"cause,omitempty"`
}

func writeExplanationJSON(w io.Writer, e *explanation) error {
	r := &e.request
	out := explanationJSON{
		Login: loginJSON{File: e.file, Listener: r.Listener, User: r.User, Database: r.Database,
			Application: r.ApplicationName, Replication: r.Replication, Time: r.Now.UTC()},
		Certificate: newCertificateJSON(e.verdict),
		Rules:       []stepJSON{},
		Granted:     e.Grant() != nil,
	}
	if r.Addr.IsValid() {
		out.Login.Address = r.Addr.String()
	}
	if id := e.verdict.Identity; id != nil {
		out.Identity = map[string][]string{}
		for _, f := range identityFields(id) {
			out.Identity[f.name] = f.values
		}
	}
	for _, s := range e.policy.Steps {
		out.Rules = append(out.Rules, stepJSON{s.Rule.Kind.String(), s.Rule.Name, s.Rule.File, s.Rule.Line, s.Reached, s.Fits, s.Condition, s.Want, s.Got})
	}
	if g := e.Grant(); g != nil {
		out.Grant = newGrantJSON(e, g)
	} else {
		out.Refusal = newRefusalJSON(e.refusal())
	}
	return writeJSON(w, out)
}

func newCertificateJSON(v *verdict) certificateJSON {
	c := certificateJSON{Accepted: v.Refusal == nil, Revocation: v.Revocation, Chains: []chainJSON{}, Checks: []checkJSON{}}
	if c.Accepted {
		end := v.NotAfter.UTC()
		c.NotAfter = &end
	}
	for _, chain := range v.Report.Chains() {
		one := chainJSON{Anchor: chain.Anchor}
		for _, cert := range chain.Certs {
			dn, _ := identity.FormatDN(cert.RawSubject) // "" when it cannot be read; the checks say why
			one.Subjects = append(one.Subjects, dn)
		}
		c.Chains = append(c.Chains, one)
	}
	for _, k := range v.Report.Checks() {
		c.Checks = append(c.Checks, checkJSON{k.Chain, k.Cert, k.Name, k.Rule, k.Pass, k.Evidence})
	}
	return c
}

func newGrantJSON(e *explanation, g *policy.Grant) *grantJSON {
	out := &grantJSON{
		Map: g.Rule.Name, File: g.Rule.File, Line: g.Rule.Line, Role: g.Role, Captures: g.Captures,
		Upstream: g.Upstream, Database: g.DBName, PoolMode: g.PoolMode, Audit: g.Audit, Admin: g.Admin,
		Replication: g.Replication, FingerprintOnly: g.FingerprintOnly, ReadOnly: g.Session.ReadOnly,
		StatementTimeout: g.Session.StatementTimeout.Seconds(), IdleTimeout: g.Session.IdleTimeout.Seconds(),
		MaxDuration: g.Session.MaxDuration.Seconds(), Stamp: g.Session.Stamp,
		Sessions: g.Limits.Sessions, MapSessions: g.Limits.MapSessions, Pool: g.Limits.Pool, IdentityKey: g.IdentityKey,
	}
	if u := e.upstream(); u != nil {
		out.PoolMode = cmp.Or(out.PoolMode, u.Pool.Mode)
		out.Audit = cmp.Or(out.Audit, e.cfg.Audit.Level)
	}
	if len(g.Session.Settings) > 0 {
		out.Settings = map[string]string{}
		for _, s := range g.Session.Settings {
			out.Settings[s.Name] = s.Value
		}
	}
	return out
}

func newRefusalJSON(r refusal) *refusalJSON {
	out := &refusalJSON{Reason: r.Reason(), SQLState: r.SQLState(), Public: r.Public()}
	if d, ok := r.(*policy.Denied); ok {
		out.Cause = d.Cause
		if d.Rule != nil {
			out.Rule = ruleText(*d.Rule)
		}
	}
	return out
}
