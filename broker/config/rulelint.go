package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgsignet/pgsignet/policy"
)

// ruleLint looks at maps beside the listeners, databases and pools they lead to.
type ruleLint struct {
	cfg      *Config
	anchors  []int // by listener: how many CAs can issue any name there
	byRole   map[roleAt][]int
	findings []policy.Finding
}

func (l *ruleLint) note(s policy.Severity, i int, attr, summary, format string, args ...any) {
	l.findings = append(l.findings, policy.Finding{Severity: s, Index: i, Rule: l.cfg.Rules[i].Ref(),
		Attr: attr, Summary: summary, Detail: fmt.Sprintf(format, args...)})
}

func (l *ruleLint) check(i int, m *policy.Rule) {
	l.anyAnchor(i, m)
	if m.Admin != "" {
		return
	}
	databases := l.databases(m)
	l.token(i, m, databases)
	for _, u := range l.upstreams(databases) {
		l.readOnly(i, m, u)
		l.shared(i, m, u)
	}
}

// databases are the blocks a map's list leads to.
func (l *ruleLint) databases(m *policy.Rule) []*Database {
	var out []*Database
	for i := range l.cfg.Databases {
		db := &l.cfg.Databases[i]
		if slices.Contains(m.Databases, "*") || slices.Contains(m.Databases, db.Name) {
			out = append(out, db)
		}
	}
	return out
}

func (l *ruleLint) upstreams(databases []*Database) []*Upstream {
	var out []*Upstream
	for i := range l.cfg.Upstreams {
		u := &l.cfg.Upstreams[i]
		if slices.ContainsFunc(databases, func(db *Database) bool { return db.Upstream == u.Name }) {
			out = append(out, u)
		}
	}
	return out
}

// anyAnchor warns of a map that every CA of a listener with several can reach (T91). A SPIFFE ID is one
// CA's to give only where trust domains have bundles (T27); elsewhere it is a name like any other.
func (l *ruleLint) anyAnchor(i int, m *policy.Rule) {
	reads := func(f policy.Field) bool {
		return slices.ContainsFunc(m.Match, func(c policy.Condition) bool { return c.Field == f })
	}
	if len(m.Listeners) > 0 || reads(policy.FieldAnchor) {
		return
	}
	for j, listener := range l.cfg.Listeners {
		byDomain := reads(policy.FieldSPIFFE) && listener.SPIFFE != nil
		if l.anchors[j] > 1 && !byDomain {
			l.note(policy.Warning, i, "match", "Any CA can issue this",
				"Listener %q trusts several CAs, and each of them can issue a certificate that fits. Name the one that is meant with anchor (SHA-256 of its certificate), or narrow the map with listeners, or with spiffe on a listener that has a spiffe block.",
				listener.Name)
			return
		}
	}
}

// token reports tokens that nothing could sign.
func (l *ruleLint) token(i int, m *policy.Rule, databases []*Database) {
	if !slices.Contains(m.Session.Stamp, "token") {
		return
	}
	for _, db := range databases {
		if db.IdentityKey == "" {
			l.note(policy.Error, i, "session.stamp", "Token without a key",
				"database %q has no identity_key, so no token can be made for it. Add identity_key = \"FILE\" there (pgsignet sql identity prints what PostgreSQL needs), or take token out of stamp.", db.Name)
		}
	}
}

// readOnly warns where the guard rail is the only thing between a client and a write.
func (l *ruleLint) readOnly(i int, m *policy.Rule, u *Upstream) {
	if !m.Session.ReadOnly || u.Target == "standby" || u.Target == "read-only" {
		return
	}
	l.note(policy.Warning, i, "session.read_only", "read_only is no boundary",
		"Upstream %q may be a primary, and a client can find ways around read_only. The boundary is a role that may only read, or target = \"standby\".", u.Name)
}

// shared warns of smart resets between identities: what one client leaves behind, another may see (W52).
func (l *ruleLint) shared(i int, m *policy.Rule, u *Upstream) {
	if !l.smart(m, u) || u.Pool.Share == "identity" {
		return
	}
	why := ""
	switch other := l.sameRole(i, m, u); {
	case !oneIdentity(m):
		why = fmt.Sprintf("Several identities fit this map and take turns on the servers of upstream %q", u.Name)
	case u.Pool.Share == "role" && other != "":
		why = fmt.Sprintf("This map and map %q take turns on the servers of upstream %q (share = \"role\")", other, u.Name)
	default:
		return
	}
	l.note(policy.Warning, i, "", "smart reset between identities",
		"%s, and reset = \"smart\" trusts each to leave them as they were. Use reset = \"always\" or share = \"identity\" unless these clients trust each other.", why)
}

// smart reports whether m's sessions on u are in transaction mode with smart resets.
func (l *ruleLint) smart(m *policy.Rule, u *Upstream) bool {
	mode := m.PoolMode
	if mode == "" {
		mode = u.Pool.Mode
	}
	return mode == "transaction" && u.Pool.Reset == "smart"
}

// roleAt is a role on an upstream; role "" is one that a certificate's text decides.
type roleAt struct{ upstream, role string }

// takers lists the maps whose sessions take turns as each role, by index.
func (l *ruleLint) takers() map[roleAt][]int {
	out := map[roleAt][]int{}
	for i := range l.cfg.Rules {
		m := &l.cfg.Rules[i]
		if m.Kind != policy.Map || m.Admin != "" {
			continue
		}
		for _, u := range l.upstreams(l.databases(m)) {
			for _, role := range roleList(m) {
				if !l.smart(m, u) || u.Pool.Share != "role" {
					continue
				}
				if strings.ContainsAny(role, `\$`) {
					role = ""
				}
				out[roleAt{u.Name, role}] = append(out[roleAt{u.Name, role}], i)
			}
		}
	}
	return out
}

// sameRole is the name of another map whose sessions may have one of m's roles on u, or "".
func (l *ruleLint) sameRole(i int, m *policy.Rule, u *Upstream) string {
	for _, role := range append([]string{""}, roleList(m)...) {
		for _, j := range l.byRole[roleAt{u.Name, role}] {
			if j != i {
				return l.cfg.Rules[j].Name
			}
		}
	}
	return ""
}

func roleList(m *policy.Rule) []string {
	if m.Role != "" {
		return append(slices.Clip(m.Roles), m.Role)
	}
	return m.Roles
}

// personal are the fields whose one constant value means one identity.
var personal = []policy.Field{policy.FieldCN, policy.FieldDN, policy.FieldEmail, policy.FieldDNS, policy.FieldURI,
	policy.FieldSPIFFE, policy.FieldSerial, policy.FieldSHA256, policy.FieldSPKISHA256}

func oneIdentity(m *policy.Rule) bool {
	return slices.ContainsFunc(m.Match, func(c policy.Condition) bool {
		return slices.Contains(personal, c.Field) && len(c.Values) == 1 && !strings.HasPrefix(c.Values[0], "/")
	})
}
