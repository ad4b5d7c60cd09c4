package policy

import (
	"slices"

	"github.com/pgsignet/pgsignet/policy/identity"
)

// index finds the rules that can fit an identity. Each rule is filed under the rarest of its
// conditions: under its constants, or under the text that its expressions begin or end with.
// Rules with neither are tried for everyone.
type index struct {
	fields []indexedField
	byKey  map[indexKey][]int32
	rest   []int32 // ascending
}

// indexKey is what a value of a field may be, begin with or end with.
type indexKey struct {
	field fieldRef
	part  valuePart
	text  string
}

type valuePart uint8

const (
	wholeValue valuePart = iota
	valuePrefix
	valueSuffix
)

// indexedField says what to look up for the values of a field.
type indexedField struct {
	field    fieldRef
	whole    bool
	prefixes []int // lengths in use
	suffixes []int
}

// maxLengths bounds the look-ups per value; expressions with more lengths are tried for everyone.
const maxLengths = 32

// newIndex files the rules of one kind.
func newIndex(rules []rule) index {
	x := index{byKey: map[indexKey][]int32{}}
	uses := map[indexKey]int{}
	for i := range rules {
		for j := range rules[i].match {
			for _, key := range rules[i].match[j].keys() {
				uses[key]++
			}
		}
	}
	for i := range rules {
		keys := rarest(&rules[i], uses)
		if keys == nil || !x.admit(keys) {
			x.rest = append(x.rest, int32(i))
			continue
		}
		for _, key := range keys {
			if at := x.byKey[key]; len(at) == 0 || at[len(at)-1] != int32(i) {
				x.byKey[key] = append(at, int32(i))
			}
		}
	}
	return x
}

// keys lists what a rule is filed under by this condition, nil if it cannot be.
func (c *condition) keys() []indexKey {
	if len(c.nets) > 0 || c.field.field == FieldIP {
		return nil
	}
	var keys []indexKey
	for _, v := range c.consts {
		keys = append(keys, indexKey{c.field, wholeValue, v})
	}
	for _, p := range c.patterns {
		key, ok := p.key()
		if !ok {
			return nil
		}
		keys = append(keys, key)
	}
	return keys
}

// key is the longer of the texts that an expression begins and ends with.
func (p *pattern) key() (indexKey, bool) {
	switch {
	case p.prefix == "" && p.suffix == "":
		return indexKey{}, false
	case len(p.prefix) >= len(p.suffix):
		return indexKey{p.field, valuePrefix, p.prefix}, true
	}
	return indexKey{p.field, valueSuffix, p.suffix}, true
}

// rarest returns the keys of the condition whose keys the fewest rules share on average.
func rarest(r *rule, uses map[indexKey]int) []indexKey {
	var best []indexKey
	least := 0
	for i := range r.match {
		keys := r.match[i].keys()
		if keys == nil {
			continue
		}
		sum := 0
		for _, key := range keys {
			sum += uses[key]
		}
		if mean := sum * 100 / len(keys); best == nil || mean < least {
			best, least = keys, mean
		}
	}
	return best
}

// admit notes what to look up to find keys. It reports false when that would be too much.
func (x *index) admit(keys []indexKey) bool {
	at := slices.IndexFunc(x.fields, func(f indexedField) bool { return f.field == keys[0].field })
	if at < 0 {
		at = len(x.fields)
		x.fields = append(x.fields, indexedField{field: keys[0].field})
	}
	f := x.fields[at]
	f.prefixes, f.suffixes = slices.Clone(f.prefixes), slices.Clone(f.suffixes)
	for _, key := range keys {
		switch key.part {
		case wholeValue:
			f.whole = true
		case valuePrefix:
			f.prefixes = addLength(f.prefixes, len(key.text))
		case valueSuffix:
			f.suffixes = addLength(f.suffixes, len(key.text))
		}
	}
	if len(f.prefixes) > maxLengths || len(f.suffixes) > maxLengths {
		return false
	}
	x.fields[at] = f
	return true
}

func addLength(lengths []int, n int) []int {
	if slices.Contains(lengths, n) {
		return lengths
	}
	return append(lengths, n)
}

// found gathers the lists of rules that a look-up meets.
type found struct {
	only  []int32 // while there is one list, that list itself
	buf   []int32
	lists int
}

func (f *found) add(list []int32) {
	if len(list) == 0 {
		return
	}
	f.lists++
	switch f.lists {
	case 1:
		f.only = list
	case 2:
		f.buf = append(append(f.buf, f.only...), list...)
	default:
		f.buf = append(f.buf, list...)
	}
}

// candidates returns the filed rules that id can fit, ascending. It may use buf, which it
// returns for the next time.
func (x *index) candidates(id *identity.Identity, buf []int32) (rules, newBuf []int32) {
	var one [1]string
	f := found{buf: buf[:0]}
	for i := range x.fields {
		field := &x.fields[i]
		for _, v := range field.field.values(id, &one) {
			x.lookUp(field, v, &f)
		}
	}
	if f.lists < 2 {
		return f.only, f.buf
	}
	slices.Sort(f.buf)
	f.buf = slices.Compact(f.buf)
	return f.buf, f.buf
}

// lookUp finds the rules that one value can fit.
func (x *index) lookUp(field *indexedField, v string, f *found) {
	if field.whole {
		f.add(x.byKey[indexKey{field.field, wholeValue, v}])
	}
	for _, n := range field.prefixes {
		if n <= len(v) {
			f.add(x.byKey[indexKey{field.field, valuePrefix, v[:n]}])
		}
	}
	for _, n := range field.suffixes {
		if n <= len(v) {
			f.add(x.byKey[indexKey{field.field, valueSuffix, v[len(v)-n:]}])
		}
	}
}
