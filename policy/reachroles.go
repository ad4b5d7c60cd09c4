package policy

import "slices"

// coversRoles tells whether a grants the users that b does.
func (x *reach) coversRoles(a, b *rule) cover {
	switch {
	case a.Kind == Deny || a.Admin != "":
		return full
	case usesCaptures(a.roles) && sameCapture(a, b):
		return coversTemplates(a, b)
	case usesCaptures(a.roles):
		return x.coversByValue(a, b)
	case a.Assume:
		return full
	case b.Assume:
		return part
	}
	return max(coversSources(a, b), x.coversByCapture(a, b))
}

// coversSources compares the roles as written.
func coversSources(a, b *rule) cover {
	all, some := true, false
	for i := range b.roles {
		in := hasSource(a.roles, b.roles[i].source)
		all, some = all && in, some || in
	}
	switch {
	case all:
		return full
	case some:
		return part
	}
	return none
}

func hasSource(roles []template, source string) bool {
	return slices.ContainsFunc(roles, func(t template) bool { return t.source == source })
}

// sameCapture tells whether both maps take captures from one expression.
func sameCapture(a, b *rule) bool {
	return a.capture != nil && b.capture != nil && a.capture.source == b.capture.source &&
		plain(a.capture.field) == plain(b.capture.field)
}

// coversTemplates compares maps that share their captures. Captures that leave a without a role
// leave b without one too, if b writes the same roles.
func coversTemplates(a, b *rule) cover {
	got := coversSources(a, b)
	switch {
	case a.Assume:
		got = full
	case b.Assume:
		got = min(got, part)
	}
	for i := range a.roles {
		if len(a.roles[i].groups) > 0 && !hasSource(b.roles, a.roles[i].source) {
			got = min(got, part)
		}
	}
	return got
}

// coversByValue tries the captures of a on the constants of b: a general map in front of one
// that names a certificate.
func (x *reach) coversByValue(a, b *rule) cover {
	c := conditionOn(b, a.capture.field)
	if c == nil || len(c.patterns) > 0 || len(c.consts) == 0 || usesCaptures(b.roles) {
		return none
	}
	all, some := true, false
	for _, v := range c.consts {
		roles, ok := x.rolesFor(a, v)
		in := ok && (a.Assume || !b.Assume && len(shared(b.roles, roles)) == len(b.roles))
		all, some = all && in, some || in || ok && len(shared(b.roles, roles)) > 0
	}
	switch {
	case all && !severalValues(a.capture.field.field): // else T19: another value may unfit a
		return full
	case some:
		return part
	}
	return none
}

// coversByCapture tries the captures of b on the constants of a: a map that names a certificate
// in front of a general one.
func (x *reach) coversByCapture(a, b *rule) cover {
	if !usesCaptures(b.roles) || b.capture == nil {
		return none
	}
	c := conditionOn(a, b.capture.field)
	if c == nil {
		return none
	}
	for _, v := range c.consts {
		if roles, ok := x.rolesFor(b, v); ok && len(shared(a.roles, roles)) > 0 {
			return part
		}
	}
	return none
}

// conditionOn is the rule's condition on a field, nil if it has none.
func conditionOn(r *rule, f fieldRef) *condition {
	for i := range r.match {
		if plain(r.match[i].field) == plain(f) {
			return &r.match[i]
		}
	}
	return nil
}

// rolesFor fills a map's roles with the captures of v. It reports false when v does not fit or
// a capture leaves the map without a role.
func (x *reach) rolesFor(r *rule, v string) ([]string, bool) {
	if !x.fits(r.capture, v) {
		return nil, false
	}
	h := hit{value: v, loc: r.capture.re.FindStringSubmatchIndex(v)}
	h.judge()
	var roles []string
	for i := range r.roles {
		if r.roles[i].problem(&h) != causeNone {
			return nil, false
		}
		roles = append(roles, r.roles[i].fill(&h))
	}
	return roles, true
}

// shared lists the constant roles that are among names.
func shared(roles []template, names []string) []string {
	var out []string
	for i := range roles {
		if c, ok := roles[i].constant(); ok && slices.Contains(names, c) {
			out = append(out, c)
		}
	}
	return out
}

// severalValues reports fields that a certificate may have more than once.
func severalValues(f Field) bool {
	switch f {
	case FieldO, FieldOU, FieldEmail, FieldDNS, FieldURI, FieldIP, FieldAnchor:
		return true
	}
	return false
}
