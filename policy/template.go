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
	groups []int // captures it uses
}

// templatePart is a capture when group is set, else text.
type templatePart struct {
	text  string
	group int
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
	return t
}

func isCaptureDigit(c byte) bool { return c >= '1' && c <= '9' }

func (t *template) addText(s string) {
	if s != "" {
		t.parts = append(t.parts, templatePart{text: s})
	}
}

func (t *template) addGroup(n int) {
	t.parts = append(t.parts, templatePart{group: n})
	if !slices.Contains(t.groups, n) {
		t.groups = append(t.groups, n)
	}
}

// constant is the role when there is nothing to fill in.
func (t *template) constant() (string, bool) {
	switch {
	case len(t.groups) > 0:
		return "", false
	case len(t.parts) == 0:
		return "", true
	}
	return t.parts[0].text, true
}

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
	value string
	loc   []int // as regexp.FindStringSubmatchIndex; nil for a constant
}

// group returns capture n, "" when it took no part.
func (h hit) group(n int) string {
	if 2*n+1 >= len(h.loc) || h.loc[2*n] < 0 {
		return ""
	}
	return h.value[h.loc[2*n]:h.loc[2*n+1]]
}

// expand appends the role to dst. It reports false when a capture is empty or reserved, or the
// role is: then the map does not fit (T8, T9).
func (t *template) expand(dst []byte, h hit) ([]byte, bool) {
	for _, p := range t.parts {
		if p.group == 0 {
			dst = append(dst, p.text...)
			continue
		}
		g := h.group(p.group)
		if g == "" || reservedRole(g) {
			return dst, false
		}
		dst = append(dst, g...)
	}
	return dst, len(t.groups) == 0 || !reservedRole(string(dst))
}
