package policy

import (
	"fmt"
	"slices"
	"strings"
)

// maxName is the longest role or database name in bytes: NAMEDATALEN-1 in PostgreSQL's
// pg_config_manual.h.
const maxName = 63

// managedSuperusers are the superusers, or nearly that, of hosted PostgreSQL (T9).
var managedSuperusers = []string{"postgres", "rds_superuser", "rdsadmin", "cloudsqlsuperuser",
	"azure_pg_admin", "alloydbsuperuser"}

// reservedRole reports PostgreSQL's own roles, which no capture may yield (T9).
func reservedRole(name string) bool {
	return strings.HasPrefix(name, "pg_") || slices.Contains(managedSuperusers, name)
}

// template is a role as written in a map. Without captures it is a constant.
type template struct {
	source string
	parts  []templatePart
	groups []int  // captures it uses
	mask   uint16 // the same, a bit each
	text   string // the role, when there is nothing to fill in

	nearReserved bool // filled in, it may be one of PostgreSQL's own roles
}

// templatePart is a capture when group is set, else text.
type templatePart struct {
	text  string
	group int
}

// of is the part filled with h.
func (p templatePart) of(h *hit) string {
	if p.group == 0 {
		return p.text
	}
	return h.group(p.group)
}

// parseTemplate reads \1 to \9 and $1 to $9. Any other backslash or dollar sign is itself; two
// dollar signs before a digit are one, so that a role may be called `a$1`: write `a$$1`.
func parseTemplate(s string) template {
	t := template{source: s}
	var text strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], "$$") && i+2 < len(s) && isCaptureDigit(s[i+2]) {
			text.WriteString(s[i+1 : i+3])
			i += 2
			continue
		}
		if (s[i] == '\\' || s[i] == '$') && i+1 < len(s) && isCaptureDigit(s[i+1]) {
			t.addText(text.String())
			text.Reset()
			t.addGroup(int(s[i+1] - '0'))
			i++
			continue
		}
		text.WriteByte(s[i])
	}
	t.addText(text.String())
	if len(t.groups) == 0 && len(t.parts) > 0 {
		t.text = t.parts[0].text
	}
	t.nearReserved = len(t.parts) > 1 && nearReserved(t.parts[0].text)
	return t
}

// nearReserved reports a beginning that one of PostgreSQL's own roles has.
func nearReserved(text string) bool {
	return strings.HasPrefix(text, "pg_") || strings.HasPrefix("pg_", text) ||
		slices.ContainsFunc(managedSuperusers, func(name string) bool { return strings.HasPrefix(name, text) })
}

func isCaptureDigit(c byte) bool { return c >= '1' && c <= '9' }

func (t *template) addText(s string) {
	if s != "" {
		t.parts = append(t.parts, templatePart{text: s})
	}
}

func (t *template) addGroup(n int) {
	t.parts = append(t.parts, templatePart{group: n})
	if t.mask&(1<<n) == 0 {
		t.groups = append(t.groups, n)
		t.mask |= 1 << n
	}
}

// constant is the role when there is nothing to fill in.
func (t *template) constant() (string, bool) { return t.text, len(t.groups) == 0 }

// check reports a role that can never be one.
func (t *template) check(groups int) error {
	fixed := 0
	for _, p := range t.parts {
		fixed += len(p.text)
		switch {
		case p.group > groups && groups == 0:
			return fmt.Errorf(`\%d has no capture: no expression in match has brackets`, p.group)
		case p.group > groups:
			return fmt.Errorf(`\%d has no capture: the expression has only %d`, p.group, groups)
		case strings.ContainsRune(p.text, 0):
			return fmt.Errorf("a role cannot hold a zero byte")
		}
	}
	if len(t.parts) == 0 {
		return fmt.Errorf("a role cannot be empty")
	}
	if fixed+len(t.groups) > maxName {
		return fmt.Errorf("a role has at most %d bytes", maxName)
	}
	return nil
}

// hit is a value that fitted a pattern.
type hit struct {
	value    string
	loc      []int  // as regexp.FindStringSubmatchIndex; nil when there are no captures
	empty    uint16 // captures that are empty or took no part, a bit each
	reserved uint16 // captures that are one of PostgreSQL's own roles
}

// judge notes which captures can be no role (T8, T9).
func (h *hit) judge() {
	h.empty = ^uint16(0)
	for n := 1; n < 10 && 2*n+1 < len(h.loc); n++ {
		g := h.group(n)
		if g != "" {
			h.empty &^= 1 << n
		}
		if reservedRole(g) {
			h.reserved |= 1 << n
		}
	}
}

// group returns capture n from 1, "" when it took no part.
func (h *hit) group(n int) string {
	if 2*n+1 >= len(h.loc) || h.loc[2*n] < 0 {
		return ""
	}
	return h.value[h.loc[2*n]:h.loc[2*n+1]]
}

// problem says why a role filled with h is none; then the map does not fit.
func (t *template) problem(h *hit) cause {
	switch {
	case h.empty&t.mask != 0:
		return causeEmpty
	case h.reserved&t.mask != 0:
		return causeReserved
	}
	n := 0
	for _, p := range t.parts {
		n += len(p.of(h))
	}
	switch {
	case n > maxName:
		return causeLong
	case t.nearReserved && reservedRole(t.fill(h)):
		return causeReserved
	}
	return causeNone
}

// fill is the role as text.
func (t *template) fill(h *hit) string {
	if len(t.groups) == 0 {
		return t.text
	}
	var b []byte
	for _, p := range t.parts {
		b = append(b, p.of(h)...)
	}
	return string(b)
}

// is reports whether the role, filled with h, is name.
func (t *template) is(h *hit, name string) bool {
	for _, p := range t.parts {
		part := p.of(h)
		if len(name) < len(part) || name[:len(part)] != part {
			return false
		}
		name = name[len(part):]
	}
	return name == ""
}
