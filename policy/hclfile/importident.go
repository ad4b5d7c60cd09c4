package hclfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
)

// identEntry is a line of pg_ident.conf.
type identEntry struct {
	source  importSource
	mapName string

	value    string // in the form of match
	role     string // in the form of role
	plain    string // the same as it is written
	captures bool   // role holds \1
	notes    []string
	leftOut  string
}

// identEntries reads the lines as parse_ident_line does. An error in one is a problem of r.
func identEntries(r *confReader) []identEntry {
	var out []identEntry
	for i := range r.lines {
		l := &r.lines[i]
		switch {
		case len(l.fields) < 3:
			r.problem(l.file, l.line, "PostgreSQL refuses the file: a line has three fields, map, system user and role")
			continue
		case slices.ContainsFunc(l.fields[:3], func(f []confToken) bool { return len(f) != 1 }):
			r.problem(l.file, l.line, "PostgreSQL refuses the file: a field holds one name, not a list (T11)")
			continue
		}
		e := identEntry{source: l.source(), mapName: l.fields[0][0].text}
		err := e.convert(l.fields[1][0], l.fields[2][0])
		var bad *areError
		switch {
		case errors.As(err, &bad) && bad.invalid:
			r.problem(l.file, l.line, "%v", err)
			continue
		case err != nil:
			e.leftOut = err.Error()
		case len(l.fields) > 3:
			e.notes = append(e.notes, "PostgreSQL ignores what follows the third field (T11).")
		}
		out = append(out, e)
	}
	return out
}

// convert writes system user and role in our language. The error is why that cannot be done.
func (e *identEntry) convert(user, role confToken) error {
	if err := e.convertRole(role); err != nil {
		// An expression that PostgreSQL refuses matters more than what is wrong with the role.
		if expr, ok := strings.CutPrefix(user.text, "/"); ok {
			var bad *areError
			if _, broken := parseARE(expr); errors.As(broken, &bad) && bad.invalid {
				return broken
			}
		}
		return err
	}
	expr, ok := strings.CutPrefix(user.text, "/")
	if !ok {
		return e.convertName(user.text)
	}
	return e.convertExpression(expr)
}

// convertName is a system user that is compared as it is.
func (e *identEntry) convertName(name string) error {
	e.value = name
	switch {
	case e.captures:
		return errors.New(`without an expression the role is called \1 by name, which here is a capture`)
	case name == "":
		return errors.New("no certificate has an empty name")
	}
	return writable(name)
}

// convertExpression is a system user that is an expression.
func (e *identEntry) convertExpression(expr string) error {
	re, err := parseARE(expr)
	if err != nil {
		return err
	}
	keep := 0
	if e.captures {
		if err := re.checkCapture(); err != nil {
			return err
		}
		keep = 1
	}
	text, err := re.re2(keep)
	if err != nil {
		return err
	}
	if len(re.doubts) > 0 {
		e.notes = append(e.notes, fmt.Sprintf("Names with non-ASCII letters may be read differently: PostgreSQL matches %s byte by byte (T5).", strings.Join(re.doubts, " and ")))
	}
	if re.open() {
		e.notes = append(e.notes, "PostgreSQL finds the expression anywhere in the name, so .* is written at its open ends. Is that meant? (T4)")
	}
	e.value = "/" + text
	return writable(text)
}

// convertRole is the role of a line.
func (e *identEntry) convertRole(t confToken) error {
	switch {
	case t.keyword("all"):
		return errors.New("all is every role from PostgreSQL 16 on: list the roles (T10)")
	case !t.quoted && strings.HasPrefix(t.text, "+"):
		return errors.New("+ is a group's members from PostgreSQL 16 on: list the roles (T10)")
	case strings.HasPrefix(t.text, "/"):
		return errors.New("/ is an expression on the role asked for from PostgreSQL 16 on: list the roles (T10)")
	case t.text == "":
		return errors.New("no role has an empty name")
	case len(t.text) > 63 && !strings.Contains(t.text, `\1`):
		return errors.New("a role has at most 63 bytes, so PostgreSQL never grants this one (T12)")
	}
	before, after, found := strings.Cut(t.text, `\1`)
	e.role, e.plain, e.captures = doubleDollars(before), t.text, found
	if found {
		e.role += `\1` + doubleDollars(after)
	}
	if holdsCapture(before) || holdsCapture(after) {
		return errors.New(`PostgreSQL replaces the first \1 only; the role's other \1 to \9 stand for themselves (T8)`)
	}
	return writable(t.text)
}

// holdsCapture reports \1 to \9.
func holdsCapture(s string) bool {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '\\' && s[i+1] >= '1' && s[i+1] <= '9' {
			return true
		}
	}
	return false
}

// doubleDollars keeps $1 to $9 in a role's name from being captures.
func doubleDollars(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] == '$' && i+1 < len(s) && s[i+1] >= '1' && s[i+1] <= '9' {
			b.WriteByte('$')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// writable reports text that cannot be written, or that no certificate may hold (T16).
func writable(s string) error {
	switch {
	case !utf8.ValidString(s):
		return errors.New("it is not UTF-8")
	case strings.IndexFunc(s, unicode.IsControl) >= 0:
		return errors.New("it holds a control character, which no certificate here may (T16)")
	}
	return nil
}

// normal reports text that an HCL expression can compare: HCL brings all other to that form.
func normal(s string) bool { return cty.StringVal(s).AsString() == s }

// identBlocks writes every map of pg_ident.conf, for every database.
func identBlocks(entries []identEntry) []*importBlock {
	var out []*importBlock
	for _, e := range entries {
		b := e.block("cn", fmt.Sprintf("%s line %d", e.mapName, e.source.line))
		b.databases = []string{"*"}
		out = append(out, b)
	}
	return mergeRoles(out, entries)
}

// block is an entry as a map on field.
func (e *identEntry) block(field, name string) *importBlock {
	return &importBlock{name: name, sources: []importSource{e.source}, notes: slices.Clone(e.notes), leftOut: e.leftOut,
		field: field, value: e.value, roles: []string{e.role}}
}

// mergeRoles writes lines of one map that differ in a constant role only as one block. entries are
// those that blocks come from, one each.
func mergeRoles(blocks []*importBlock, entries []identEntry) []*importBlock {
	type key struct{ mapName, value string }
	first := map[key]*importBlock{}
	var out []*importBlock
	for i, b := range blocks {
		k := key{entries[i].mapName, b.value}
		to := first[k]
		if b.leftOut != "" || entries[i].captures {
			out = append(out, b)
			continue
		}
		if to == nil {
			first[k] = b
			out = append(out, b)
			continue
		}
		for _, s := range b.sources {
			if !slices.Contains(to.sources, s) {
				to.sources = append(to.sources, s)
			}
		}
		if !slices.Contains(to.roles, b.roles[0]) {
			to.roles = append(to.roles, b.roles[0])
		}
	}
	return out
}
