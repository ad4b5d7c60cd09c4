package policy

import "slices"

// cause says why a map's captures leave it without a role.
type cause uint8

const (
	causeNone      cause = iota
	causeEmpty           // a capture that is empty or took no part (T8)
	causeReserved        // one of PostgreSQL's own roles (T9)
	causeDifferent       // two values of the certificate, two roles (T19)
	causeLong            // over 63 bytes (T12)
)

// String is for audit and explain.
func (c cause) String() string {
	switch c {
	case causeEmpty:
		return "a capture is empty or took no part"
	case causeReserved:
		return "a capture is one of PostgreSQL's own roles"
	case causeDifferent:
		return "two values of the certificate yield different roles"
	case causeLong:
		return "the role is longer than 63 bytes"
	}
	return ""
}

// role finds the role that the map logs in as, and whether the client named it. The cause is
// set when the captures leave the map without a role.
func (d *decision) role(rule *rule) (role string, named bool, c cause) {
	if rule.Admin != "" {
		return d.r.User, true, causeNone
	}
	var hits []hit
	if rule.capture != nil {
		hits = d.hitsOf(rule.capture)
	}
	for i := range rule.roles {
		is, c := fillRole(&rule.roles[i], hits, d.r.User)
		if c != causeNone {
			return "", false, c
		}
		named = named || is
	}
	switch {
	case rule.Assume:
		return rule.roles[0].fill(first(hits)), true, causeNone
	case named:
		return d.r.User, true, causeNone
	}
	return "", false, causeNone
}

// fillRole tells whether a role is the user's name. It is filled with the first value that
// fits, and every other that fits must yield the same (T19).
func fillRole(t *template, hits []hit, user string) (bool, cause) {
	if len(t.groups) == 0 {
		return t.text == user, causeNone
	}
	if len(hits) == 0 {
		return false, causeEmpty
	}
	for i := range hits {
		if c := t.problem(&hits[i]); c != causeNone {
			return false, c
		}
		if i > 0 && !t.is(&hits[0], t.fill(&hits[i])) {
			return false, causeDifferent
		}
	}
	return t.is(&hits[0], user), causeNone
}

// first is the value that fills a map's roles.
func first(hits []hit) *hit {
	if len(hits) == 0 {
		return &hit{}
	}
	return &hits[0]
}

func usesCaptures(roles []template) bool {
	return slices.ContainsFunc(roles, func(t template) bool { return len(t.groups) > 0 })
}
