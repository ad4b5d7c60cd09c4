package policy

import "strings"

// hints tell which maps cannot name a user, without touching the maps: they lie close together,
// so a thousand are read from the processor's cache.
type hints struct {
	of   []hintRange // by rule
	list []userHint
}

// hintRange is list[from:to]; any says that the map may name every user.
type hintRange struct {
	from, to int32
	any      bool
}

// userHint is what a role begins and ends with.
type userHint struct {
	prefix, suffix string
	exact          bool // it is prefix and nothing else
}

// newHints notes the roles of maps. A deny names nobody.
func newHints(rules []rule) hints {
	h := hints{of: make([]hintRange, len(rules))}
	for i := range rules {
		from := int32(len(h.list))
		for j := range rules[i].roles {
			h.list = append(h.list, rules[i].roles[j].hint())
		}
		h.of[i] = hintRange{from, int32(len(h.list)), rules[i].Admin != "" || rules[i].Assume}
	}
	return h
}

// hint is what the role begins and ends with, whatever is filled in.
func (t *template) hint() userHint {
	if len(t.groups) == 0 {
		return userHint{prefix: t.text, exact: true}
	}
	h := userHint{prefix: t.parts[0].text}
	if len(t.parts) > 1 {
		h.suffix = t.parts[len(t.parts)-1].text
	}
	return h
}

// mayName reports whether map i can have the user among its roles. It errs on yes.
func (h *hints) mayName(i int, user string) bool {
	r := h.of[i]
	if r.any {
		return true
	}
	for j := range h.list[r.from:r.to] {
		u := &h.list[int(r.from)+j]
		if u.exact && u.prefix == user || !u.exact && strings.HasPrefix(user, u.prefix) && strings.HasSuffix(user, u.suffix) {
			return true
		}
	}
	return false
}
