package policy

import "slices"

// reachFile finds the rules that may cover a map, without comparing each with each.
//
// A rule that covers another one wholly names, for every group of values it has (an attribute, or
// its roles), all that the other names there. So it is enough to file a rule under its rarest group
// and to look, for each group of the other, under the value with the fewest rules.
type reachFile struct {
	x         *reach
	byText    map[reachKey][]int
	byPattern map[*pattern][]int // rules of expressions only, under the first attribute's
	rest      []int              // rules that are compared with every map

	fitting map[fieldText][]*pattern // the expressions that fit a constant
	fitted  map[*pattern][]fieldText // the constants that fit an expression, a few
}

// fieldText is a constant of an attribute.
type fieldText struct {
	field fieldRef
	text  string
}

// reachKey is a text that two rules have in common: a constant or an expression, a role, or an
// expression with the role made of its captures.
type reachKey struct {
	field fieldRef // zero for a role by itself
	text  string
	role  string
}

// maxPartly is how many rules of each kind are looked at to find one that covers a map in part.
const maxPartly = 32

func newReachFile(x *reach) *reachFile {
	f := &reachFile{x: x, byText: map[reachKey][]int{}, byPattern: map[*pattern][]int{},
		fitting: map[fieldText][]*pattern{}, fitted: map[*pattern][]fieldText{}}
	uses := map[reachKey]int{}
	for _, r := range x.rules {
		for _, group := range groups(r) {
			for _, key := range group {
				uses[key]++
			}
		}
	}
	for n, r := range x.rules {
		f.add(n, r, uses)
	}
	f.fit()
	return f
}

// groups lists what a rule names that a covered map must name too: the constants of each
// attribute without expressions, and its roles where they are constants.
func groups(r *rule) [][]reachKey {
	var out [][]reachKey
	for i := range r.match {
		c := &r.match[i]
		if len(c.patterns) > 0 || len(c.consts) == 0 {
			continue
		}
		var group []reachKey
		for _, v := range c.consts {
			group = append(group, reachKey{field: plain(c.field), text: v})
		}
		out = append(out, group)
	}
	if r.Kind == Map && r.Admin == "" && !r.Assume && !usesCaptures(r.roles) && len(r.roles) > 0 {
		var group []reachKey
		for i := range r.roles {
			group = append(group, reachKey{role: r.roles[i].source})
		}
		out = append(out, group)
	}
	return out
}

// add files rule n.
func (f *reachFile) add(n int, r *rule, uses map[reachKey]int) {
	var best []reachKey
	least := 0
	for _, group := range groups(r) {
		sum := 0
		for _, key := range group {
			sum += uses[key]
		}
		if mean := sum * 100 / len(group); best == nil || mean < least {
			best, least = group, mean
		}
	}
	if best == nil {
		best = f.addPatterns(n, r)
	}
	for _, key := range best {
		f.byText[key] = append(f.byText[key], n)
	}
	if best == nil {
		f.rest = append(f.rest, n)
	}
}

// addPatterns files a rule of expressions. Where its roles are captures, a map with the same
// expression is only covered if it writes one of the same roles.
func (f *reachFile) addPatterns(n int, r *rule) []reachKey {
	at := slices.IndexFunc(r.match, func(c condition) bool { return len(c.patterns) > 0 && len(c.consts)+len(c.nets) == 0 })
	if at < 0 {
		return nil
	}
	var keys []reachKey
	for _, p := range r.match[at].patterns {
		f.byPattern[p] = append(f.byPattern[p], n)
		key := reachKey{field: plain(p.field), text: "/" + p.source}
		if p != r.capture || r.Assume || !usesCaptures(r.roles) {
			keys = append(keys, key)
			continue
		}
		for i := range r.roles {
			key.role = r.roles[i].source
			keys = append(keys, key)
		}
	}
	return keys
}

// fit runs the expressions on the constants of the same attribute.
func (f *reachFile) fit() {
	var rules []rule // one for each expression, to be indexed
	var patterns []*pattern
	seen := map[*pattern]bool{}
	f.each(func(c *condition) {
		for _, p := range c.patterns {
			if !seen[p] {
				seen[p] = true
				patterns = append(patterns, p)
				rules = append(rules, rule{match: []condition{{field: p.field, patterns: []*pattern{p}}}})
			}
		}
	})
	if len(patterns) == 0 {
		return
	}
	index := newIndex(rules)
	f.each(func(c *condition) {
		for _, v := range c.consts {
			f.fitConstant(&index, patterns, fieldText{plain(c.field), v})
		}
	})
}

func (f *reachFile) each(do func(c *condition)) {
	for _, r := range f.x.rules {
		for i := range r.match {
			do(&r.match[i])
		}
	}
}

// fitConstant notes which expressions fit a constant.
func (f *reachFile) fitConstant(index *index, patterns []*pattern, v fieldText) {
	if _, done := f.fitting[v]; done {
		return
	}
	f.fitting[v] = nil
	var got found
	for i := range index.fields {
		if field := &index.fields[i]; plain(field.field) == v.field {
			index.lookUp(field, v.text, &got)
		}
	}
	list := got.buf
	if got.lists < 2 {
		list = got.only
	}
	for _, i := range append(slices.Clone(list), index.rest...) {
		p := patterns[i]
		if plain(p.field) != v.field || !f.x.fits(p, v.text) {
			continue
		}
		f.fitting[v] = append(f.fitting[v], p)
		if len(f.fitted[p]) < maxPartly {
			f.fitted[p] = append(f.fitted[p], v)
		}
	}
}

// earlier lists the rules before n that may cover it, ascending: all that may do so wholly, and
// some of those that may in part.
func (f *reachFile) earlier(n int) []int {
	b := f.x.rules[n]
	out := slices.Clone(f.rest)
	for i := range b.match {
		out = f.sharing(out, b, &b.match[i])
	}
	var roles [][]int
	for i := range b.roles {
		roles = append(roles, f.byText[reachKey{role: b.roles[i].source}])
	}
	out = smallest(out, roles)
	slices.Sort(out)
	out = slices.Compact(out)
	at, _ := slices.BinarySearch(out, n)
	return out[:at]
}

// sharing appends the rules that share values of one attribute of b.
func (f *reachFile) sharing(out []int, b *rule, c *condition) []int {
	var lists [][]int
	for _, v := range c.consts {
		key := fieldText{plain(c.field), v}
		list := f.byText[reachKey{field: key.field, text: v}]
		for _, p := range f.fitting[key] {
			list = append(slices.Clip(list), f.byPattern[p]...)
		}
		lists = append(lists, list)
	}
	for _, p := range c.patterns {
		key := reachKey{field: plain(p.field), text: "/" + p.source}
		list := f.byText[key]
		for i := range b.roles {
			key.role = b.roles[i].source
			list = append(slices.Clip(list), f.byText[key]...)
		}
		lists = append(lists, list)
		for _, v := range f.fitted[p] {
			out = firstFew(out, f.byText[reachKey{field: v.field, text: v.text}])
		}
	}
	return smallest(out, lists)
}

// smallest appends the shortest of lists, and the beginning of each other one.
func smallest(out []int, lists [][]int) []int {
	best := -1
	for i, list := range lists {
		if best < 0 || len(list) < len(lists[best]) {
			best = i
		}
	}
	for i, list := range lists {
		if i == best {
			out = append(out, list...)
			continue
		}
		out = firstFew(out, list)
	}
	return out
}

func firstFew(out, list []int) []int { return append(out, list[:min(len(list), maxPartly)]...) }

// plain is a field without regard to the kind of rule.
func plain(f fieldRef) fieldRef {
	f.deny = false
	return f
}
