package policy

import (
	"slices"

	"github.com/pgsignet/pgsignet/policy/identity"
)

// index finds the rules that can fit an identity. Each rule with a condition of constants is
// filed under its rarest such condition; the others are tried for everyone.
type index struct {
	fields []fieldRef // that rules are filed under
	byKey  map[indexKey][]int32
	rest   []int32 // ascending
}

// indexKey is a field with one value that it may have.
type indexKey struct {
	field fieldRef
	value string
}

// newIndex files the rules of one kind.
func newIndex(rules []rule) index {
	x := index{byKey: map[indexKey][]int32{}}
	uses := countConsts(rules)
	for i := range rules {
		c := rarest(&rules[i], uses)
		if c == nil {
			x.rest = append(x.rest, int32(i))
			continue
		}
		if !slices.Contains(x.fields, c.field) {
			x.fields = append(x.fields, c.field)
		}
		for _, v := range c.consts {
			key := indexKey{c.field, v}
			if at := x.byKey[key]; len(at) == 0 || at[len(at)-1] != int32(i) {
				x.byKey[key] = append(at, int32(i))
			}
		}
	}
	return x
}

// countConsts counts the rules that name each constant.
func countConsts(rules []rule) map[indexKey]int {
	uses := map[indexKey]int{}
	for i := range rules {
		for _, c := range rules[i].match {
			for _, v := range c.consts {
				uses[indexKey{c.field, v}]++
			}
		}
	}
	return uses
}

// rarest returns the condition of constants that the fewest rules share, nil if there is none.
func rarest(r *rule, uses map[indexKey]int) *condition {
	var best *condition
	least := 0
	for i := range r.match {
		c := &r.match[i]
		if len(c.consts) == 0 || len(c.patterns) > 0 {
			continue
		}
		n := 0
		for _, v := range c.consts {
			n = max(n, uses[indexKey{c.field, v}])
		}
		if best == nil || n < least {
			best, least = c, n
		}
	}
	return best
}

// candidates appends the filed rules that id can fit to buf, ascending.
func (x *index) candidates(id *identity.Identity, buf []int32) []int32 {
	var one [1]string
	for _, f := range x.fields {
		for _, v := range f.values(id, &one) {
			buf = append(buf, x.byKey[indexKey{f, v}]...)
		}
	}
	slices.Sort(buf)
	return slices.Compact(buf)
}
