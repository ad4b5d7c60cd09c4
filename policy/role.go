package policy

import "slices"

// Causes of a map that does not fit because of its captures.
const (
	causeNone      = "a capture is empty or took no part"
	causeReserved  = "a capture is one of PostgreSQL's own roles"
	causeDifferent = "two values of the certificate yield different roles"
	causeLong      = "the role is longer than 63 bytes"
)

// role finds the role that the map logs in as, and whether the client named it. The outcome
// is atCaptures when the captures leave the map without a role.
func (d *decision) role(rule *rule) (string, bool, outcome) {
	if rule.Admin != "" {
		return d.r.User, true, outcome{step: fits}
	}
	h, o := d.captures(rule)
	if o.step != fits {
		return "", false, o
	}
	if rule.Assume {
		return d.expand(&rule.roles[0], h), true, o
	}
	for i := range rule.roles {
		if d.yields(&rule.roles[i], h, d.r.User) {
			return d.r.User, true, o
		}
	}
	return "", false, o
}

// captures returns the value that fills the map's roles: the first that fits, if all that fit
// yield the same roles (T19) and every capture in use may be one (T8, T9).
func (d *decision) captures(rule *rule) (hit, outcome) {
	if !usesCaptures(rule.roles) {
		return hit{}, outcome{step: fits}
	}
	if rule.capture == nil {
		return hit{}, outcome{step: atCaptures, cause: causeNone}
	}
	hits := d.hitsOf(rule.capture)
	if len(hits) == 0 {
		return hit{}, outcome{step: atCaptures, cause: causeNone}
	}
	for i := range rule.roles {
		if cause := d.checkRole(&rule.roles[i], hits); cause != "" {
			return hit{}, outcome{step: atCaptures, cause: cause}
		}
	}
	return hits[0], outcome{step: fits}
}

func usesCaptures(roles []template) bool {
	return slices.ContainsFunc(roles, func(t template) bool { return len(t.groups) > 0 })
}

// checkRole fills one role with every hit and says what is wrong with it, "" if nothing is.
func (d *decision) checkRole(t *template, hits []hit) string {
	for i, h := range hits {
		buf, ok := t.expand(d.roleBuf[:0], h)
		d.roleBuf = buf
		switch {
		case !ok && emptyGroup(t, h):
			return causeNone
		case !ok:
			return causeReserved
		case len(buf) > maxName:
			return causeLong
		case i > 0 && !d.yields(t, hits[0], string(buf)):
			return causeDifferent
		}
	}
	return ""
}

func emptyGroup(t *template, h hit) bool {
	return slices.ContainsFunc(t.groups, func(n int) bool { return h.group(n) == "" })
}

// expand is the role as text.
func (d *decision) expand(t *template, h hit) string {
	if c, ok := t.constant(); ok {
		return c
	}
	d.roleBuf, _ = t.expand(d.roleBuf[:0], h)
	return string(d.roleBuf)
}

// yields reports whether the role, filled with h, is name.
func (d *decision) yields(t *template, h hit, name string) bool {
	if c, ok := t.constant(); ok {
		return c == name
	}
	var room [2 * maxName]byte
	buf, ok := t.expand(room[:0], h)
	return ok && string(buf) == name
}
