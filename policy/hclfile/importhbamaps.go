package hclfile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// hbaBlocks writes the certificate lines of pg_hba.conf, each with the lines of pg_ident.conf that
// its map names. The first line that fits a login decides, so what earlier lines take is excluded.
func hbaBlocks(r *confReader, entries []identEntry) []*importBlock {
	var out []*importBlock
	var earlier []hbaLine
	used := map[string]bool{}
	for _, h := range hbaLines(r) {
		if h.users.none() || h.databases.none() && !h.databases.replication {
			continue
		}
		out = append(out, h.blocks(entries, earlier)...)
		used[h.options["map"]] = true
		if !h.databases.none() {
			earlier = append(earlier, h)
		}
	}
	return append(out, unused(entries, used)...)
}

// unused are the lines of maps that no line of pg_hba.conf names.
func unused(entries []identEntry, used map[string]bool) []*importBlock {
	var out []*importBlock
	for _, e := range entries {
		if !used[e.mapName] {
			out = append(out, &importBlock{sources: []importSource{e.source},
				leftOut: fmt.Sprintf("no line of pg_hba.conf for certificates uses map %q", e.mapName)})
		}
	}
	return out
}

// blocks writes one line.
func (h *hbaLine) blocks(entries []identEntry, earlier []hbaLine) []*importBlock {
	base := &importBlock{name: fmt.Sprintf("pg_hba.conf line %d", h.source.line), sources: []importSource{h.source}}
	field, ok := h.byCertificate()
	if !ok {
		base.leftOut = fmt.Sprintf("%s is no login by certificate. Later lines do not let in what this one takes.", h.method)
		return []*importBlock{base}
	}
	if h.databases.replication {
		base.notes = append(base.notes, "For replication connections write replication = true in a map of its own.")
	}
	if h.databases.none() {
		base.leftOut = base.notes[0]
		return []*importBlock{base}
	}
	if base.leftOut = h.narrow(base, earlier); base.leftOut != "" {
		return []*importBlock{base}
	}
	return h.fill(base, field, entries)
}

// fill writes a block for every line of the map that h names.
func (h *hbaLine) fill(base *importBlock, field string, entries []identEntry) []*importBlock {
	name := h.options["map"]
	if name == "" || h.method == "trust" {
		entries = []identEntry{{source: h.source, value: "/^(.*)$", role: `\1`, captures: true}}
		base.sources, name = nil, ""
	}
	var out []*importBlock
	var used []identEntry
	for _, e := range entries {
		if e.mapName != name {
			continue
		}
		b := e.block(field, fmt.Sprintf("%s line %d, pg_hba.conf line %d", name, e.source.line, h.source.line))
		if name == "" {
			b.name = base.name
		}
		b.sources, b.notes = append(slices.Clone(base.sources), b.sources...), append(slices.Clone(base.notes), b.notes...)
		b.databases, b.from, b.when = base.databases, base.from, slices.Clone(base.when)
		h.restrict(b, &e)
		out, used = append(out, b), append(used, e)
	}
	if len(out) == 0 {
		base.leftOut = fmt.Sprintf("pg_ident.conf has no map %q, so PostgreSQL refuses these logins.", name)
		return []*importBlock{base}
	}
	return mergeRoles(out, used)
}

// restrict keeps the roles that the line's user field names.
func (h *hbaLine) restrict(b *importBlock, e *identEntry) {
	if h.users.all || b.leftOut != "" {
		return
	}
	if e.captures {
		b.when = append(b.when, oneOf("request.user", h.users.names))
		return
	}
	if !slices.Contains(h.users.names, e.plain) {
		b.leftOut = "the user field of pg_hba.conf does not name this role."
	}
}

// narrow sets databases, from and when, or says why the line cannot be written.
func (h *hbaLine) narrow(b *importBlock, earlier []hbaLine) string {
	if w := h.hard(); w != "" {
		return fmt.Sprintf("%q is something only the server can tell. Write the names. Later lines that may meet the same logins are left out too.", w)
	}
	for _, list := range [][]string{h.databases.names, h.users.names} {
		if slices.ContainsFunc(list, func(s string) bool { return !normal(s) || writable(s) != nil }) {
			return "a name in it cannot be compared byte for byte in an expression"
		}
	}
	b.databases = h.databases.names
	switch {
	case h.databases.all:
		b.databases = []string{"*"}
	case h.databases.same:
		b.databases = []string{"*"}
		b.when = append(b.when, h.databaseCondition())
	}
	for _, p := range h.from {
		b.from = append(b.from, p.String())
	}
	return h.exclude(b, earlier)
}

// exclude keeps from h what earlier lines decide.
func (h *hbaLine) exclude(b *importBlock, earlier []hbaLine) string {
	for i := range earlier {
		e := &earlier[i]
		if !e.meets(h) {
			continue
		}
		if w := e.hard(); w != "" {
			return fmt.Sprintf("line %d decides some of these logins, and only the server can tell which (%s)", e.source.line, w)
		}
		conds := e.conditions(h)
		if len(conds) == 0 {
			return fmt.Sprintf("line %d decides all of these logins", e.source.line)
		}
		b.when = append(b.when, "!("+strings.Join(conds, " && ")+")")
	}
	return ""
}

// meets reports whether some login may fit both lines.
func (e *hbaLine) meets(h *hbaLine) bool {
	if len(e.from) > 0 && len(h.from) > 0 && e.addrHard == "" && !e.from[0].Overlaps(h.from[0]) {
		return false
	}
	return e.databases.meets(&h.databases) && e.users.meets(&h.users)
}

func (n *hbaNames) meets(o *hbaNames) bool {
	return n.any() || o.any() || n.same || o.same || slices.ContainsFunc(n.names, func(s string) bool { return slices.Contains(o.names, s) })
}

// conditions says in our language which of h's logins an earlier line takes; none: all of them.
func (e *hbaLine) conditions(h *hbaLine) []string {
	var out []string
	if !e.databases.all && (h.databases.all || h.databases.same || e.databases.same || !subset(h.databases.names, e.databases.names)) {
		out = append(out, e.databaseCondition())
	}
	if !e.users.all && (h.users.all || !subset(h.users.names, e.users.names)) {
		out = append(out, oneOf("request.user", e.users.names))
	}
	if len(e.from) > 0 && (len(h.from) == 0 || !inside(h.from[0], e.from[0])) {
		out = append(out, fmt.Sprintf("cidrcontains(%s, request.address)", quote(e.from[0].String())))
	}
	return out
}

func subset(part, whole []string) bool {
	return !slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(whole, s) })
}

func inside(p, whole netip.Prefix) bool { return whole.Bits() <= p.Bits() && whole.Overlaps(p) }

// databaseCondition is the line's database field as an expression.
func (h *hbaLine) databaseCondition() string {
	if !h.databases.same {
		return oneOf("request.database", h.databases.names)
	}
	const same = "request.database == request.user"
	if len(h.databases.names) == 0 {
		return same
	}
	return "(" + same + " || " + oneOf("request.database", h.databases.names) + ")"
}

// oneOf compares a field with names.
func oneOf(field string, names []string) string {
	if len(names) == 1 {
		return field + " == " + quote(names[0])
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return "contains([" + strings.Join(quoted, ", ") + "], " + field + ")"
}
