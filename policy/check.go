package policy

import (
	"slices"
	"strings"
)

// checkRule reports what is wrong with rule i by itself.
func (k *compiler) checkRule(i int, r *rule) {
	k.checkKind(i, r)
	k.checkNames(i, r)
	k.checkMatch(i, r)
	k.checkLists(i, r)
	if r.Kind == Map {
		k.checkRoles(i, r)
		k.checkChoices(i, r)
		k.checkSettings(i, r)
	}
}

func (k *compiler) checkKind(i int, r *rule) {
	if r.Kind != Map && r.Kind != Deny {
		k.fail(i, "", "Not a rule", "A rule is a map or a deny.")
	}
	if r.Name == "" {
		k.fail(i, "", "No name", "A %s needs a name: it is what audit and explain call it.", r.Kind)
	}
}

// checkNames reports databases and listeners that do not exist.
func (k *compiler) checkNames(i int, r *rule) {
	for _, name := range r.Databases {
		k.checkDatabase(i, r, name)
	}
	if k.config.Listeners == nil {
		return
	}
	for _, name := range r.Listeners {
		if _, ok := k.policy.listeners[name]; !ok {
			k.fail(i, "listeners", "No such listener", "There is no listener %q block.%s", name, Suggest(name, listenerNames(k.config.Listeners)))
		}
	}
}

func (k *compiler) checkDatabase(i int, r *rule, name string) {
	_, known := k.policy.databases[name]
	switch {
	case slices.Contains(k.config.AdminDatabases, name):
		if r.Kind == Map && r.Admin == "" {
			k.fail(i, "databases", "The admin console", `%q is the admin console. A map with admin = "viewer" or "operator" opens it, without databases.`, name)
		}
	case name == "" || len(name) > maxName || strings.ContainsRune(name, 0):
		k.fail(i, "databases", "Bad database name", "%q: PostgreSQL's names have 1 to %d bytes.", name, maxName)
	case !known && name != "*" && k.policy.any == nil:
		k.fail(i, "databases", "No such database", "There is no database %q block.%s", name, Suggest(name, databaseNames(k.config.Databases)))
	}
}

func databaseNames(list []Database) []string {
	var out []string
	for _, d := range list {
		out = append(out, d.Name)
	}
	return out
}

func listenerNames(list []Listener) []string {
	var out []string
	for _, l := range list {
		out = append(out, l.Name)
	}
	return out
}

// checkLists reports lists that let nothing fit.
func (k *compiler) checkLists(i int, r *rule) {
	for _, list := range []struct {
		attr  string
		empty bool
	}{
		{"from", r.From != nil && len(r.From) == 0},
		{"listeners", r.Listeners != nil && len(r.Listeners) == 0},
		{"databases", r.Databases != nil && len(r.Databases) == 0},
		{"roles", r.Roles != nil && len(r.Roles) == 0},
	} {
		if list.empty {
			k.fail(i, list.attr, "Empty list", "Nothing is in an empty list, so the %s never fits. Leave %s out or fill it.", r.Kind, list.attr)
		}
	}
	for _, p := range r.From {
		if p.Addr().Is4In6() {
			k.fail(i, "from", "Bad address", "%v is wider than IPv4 inside IPv6. Addresses are unmapped first: write IPv4 as IPv4.", p)
		}
	}
	if r.Kind == Deny && len(r.Match) == 0 && r.From == nil && r.Listeners == nil && r.Databases == nil && r.When == nil {
		k.missing(i, "", "A deny without conditions", `It would refuse every login. If that is meant, write from = ["0.0.0.0/0", "::/0"].`)
	}
	if r.Kind == Map && len(r.Match) == 0 {
		k.missing(i, "match", "No match", "A map needs a match block with at least one attribute: %s.", attributeNames())
	}
}

func attributeNames() string {
	return strings.Join(fieldNames[1:], ", ")
}

// checkRoles reports a map that names no role, or one that can be none.
func (k *compiler) checkRoles(i int, r *rule) {
	if r.Admin != "" {
		k.checkAdmin(i, r)
		return
	}
	if len(r.roles) == 0 {
		k.missing(i, "", "No role", "A map needs role or roles: what the client may log in as.")
	}
	if r.Databases == nil {
		k.missing(i, "databases", "No databases", `A map needs databases; ["*"] is every configured one.`)
	}
	if r.Assume && (r.Role == "" || len(r.Roles) > 0) {
		k.fail(i, "assume", "assume needs one role", "assume logs in as role whatever user was named: write role, and no roles.")
	}
	groups := 0
	if r.capture != nil {
		groups = r.capture.groups
	}
	if r.broken {
		groups = 9 // nobody knows what it would have captured
	}
	for n := range r.roles {
		k.checkTemplate(i, roleAttr(r, n), &r.roles[n], groups)
	}
}

// roleAttr is the attribute that role n comes from.
func roleAttr(r *rule, n int) string {
	if n == 0 && r.Role != "" {
		return "role"
	}
	return "roles"
}

func (k *compiler) checkTemplate(i int, attr string, t *template, groups int) {
	if err := t.check(groups); err != nil {
		k.fail(i, attr, "Bad role", "%q: %v.", t.source, err)
		return
	}
	role, ok := t.constant()
	if ok && reservedRole(role) {
		k.warn(i, attr, "A powerful role", "%q is one of PostgreSQL's own roles, a superuser or near it. Whoever fits this map holds the cluster.", role)
	}
	if ok && (role != strings.TrimSpace(role) || strings.HasPrefix(role, `"`)) {
		k.warn(i, attr, "A name as it stands", "%q is taken as it is, with its spaces and quotes: PostgreSQL knows no such role unless it was created so.", role)
	}
	if ok && (role == "all" || strings.HasPrefix(role, "+")) {
		k.warn(i, attr, "A plain name", "%q is a role of that very name here; nothing grants all roles or the members of a group. List the roles.", role)
	}
}

// checkAdmin reports what an admin map cannot have.
func (k *compiler) checkAdmin(i int, r *rule) {
	if r.Admin != "viewer" && r.Admin != "operator" {
		k.fail(i, "admin", "Bad admin", `%q: write "viewer" or "operator".`, r.Admin)
	}
	for _, a := range []struct {
		attr string
		set  bool
	}{{"databases", r.Databases != nil}, {"role", r.Role != ""}, {"roles", r.Roles != nil}, {"assume", r.Assume}, {"replication", r.Replication}} {
		if a.set {
			k.fail(i, a.attr, a.attr+" beside admin", "An admin map opens the console and nothing else. Remove %s, or write a second map.", a.attr)
		}
	}
}

// checkChoices reports words outside their set, and numbers out of range.
func (k *compiler) checkChoices(i int, r *rule) {
	k.choice(i, "pool_mode", r.PoolMode, "session", "transaction")
	k.choice(i, "audit", r.Audit, "session", "statement", "full")
	for _, s := range r.Session.Stamp {
		k.choice(i, "session.stamp", s, "session", "identity", "map", "token", "application_name")
	}
	for _, l := range []struct {
		attr string
		n    int
	}{{"sessions", r.Limits.Sessions}, {"map_sessions", r.Limits.MapSessions}, {"pool", r.Limits.Pool}} {
		if l.n < 0 {
			k.fail(i, "limits."+l.attr, "Bad limit", "%d: write 1 or more, or leave it out for no limit.", l.n)
		}
	}
	for _, t := range []struct {
		attr     string
		negative bool
	}{{"statement_timeout", r.Session.StatementTimeout < 0}, {"idle_timeout", r.Session.IdleTimeout < 0}, {"max_duration", r.Session.MaxDuration < 0}} {
		if t.negative {
			k.fail(i, "session."+t.attr, "Bad duration", "A duration cannot be negative.")
		}
	}
}

func (k *compiler) choice(i int, attr, got string, allowed ...string) {
	if got != "" && !slices.Contains(allowed, got) {
		k.fail(i, attr, "Bad "+attr, "%q: write one of %s.%s", got, quoted(allowed), Suggest(got, allowed))
	}
}

// quoted is `"a", "b"`.
func quoted(list []string) string { return `"` + strings.Join(list, `", "`) + `"` }

// checkSettings reports settings that a map may not make.
func (k *compiler) checkSettings(i int, r *rule) {
	seen := map[string]bool{}
	for _, s := range r.Session.Settings {
		name, attr := strings.ReplaceAll(strings.ToLower(s.Name), "-", "_"), "session.settings."+s.Name
		switch {
		case strings.HasPrefix(name, "pgsignet."):
			k.fail(i, attr, "A reserved setting", "%q: pgsignet.* are the broker's own labels; see stamp.", s.Name)
		case name == "role" || name == "session_authorization":
			k.fail(i, attr, "A reserved setting", "%q would change the login's role: write it as the map's role.", s.Name)
		case !settingName(s.Name):
			k.fail(i, attr, "Bad setting name", "%q is not a PostgreSQL setting's name.", s.Name)
		case seen[name]:
			k.fail(i, attr, "A setting twice", "%q is set twice; names are compared without case.", s.Name)
		}
		seen[name] = true
	}
}

// settingName reports names that PostgreSQL's SET takes: identifiers joined by dots.
func settingName(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || len(part) > maxName {
			return false
		}
		for i, c := range []byte(part) {
			letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
			if !letter && (i == 0 || c != '$' && (c < '0' || c > '9')) {
				return false
			}
		}
	}
	return true
}
