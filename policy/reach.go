package policy

import (
	"fmt"
	"net/netip"
	"slices"
)

// maxProbes bounds how often lint runs an expression on another rule's constant: half a second.
const maxProbes = 1 << 20

// cover is how much of one rule another one takes.
type cover uint8

const (
	none cover = iota // nothing, or nothing for certain
	part
	full
)

// reach finds maps that an earlier rule leaves no login to, or only some.
type reach struct {
	k      *compiler
	rules  []*rule // denies, then maps: the order of evaluation
	index  []int   // of each in Config.Rules
	keyed  map[indexKey][]int
	loose  map[fieldRef][]int // rules of expressions only, by the field of their first
	probes int
}

// lint reports what only all rules together show.
func (k *compiler) lint() {
	x := &reach{k: k, keyed: map[indexKey][]int{}, loose: map[fieldRef][]int{}}
	x.gather(k.policy.denies.rules, Deny)
	x.gather(k.policy.maps.rules, Map)
	x.file()
	for n, b := range x.rules {
		if b.Kind == Map && len(b.match) > 0 {
			x.look(n)
		}
		if x.probes > maxProbes {
			k.warn(x.index[n], "", "Not checked further", "There are so many expressions that maps from here on were not checked for being reachable.")
			return
		}
	}
}

// gather lists rules with their place in the configuration.
func (x *reach) gather(rules []rule, kind Kind) {
	at := 0
	for i := range x.k.config.Rules {
		if x.k.config.Rules[i].Kind == kind {
			x.rules = append(x.rules, &rules[at])
			x.index = append(x.index, i)
			at++
		}
	}
}

// file notes each rule under what another rule must name to be covered by it: the values of its
// rarest constants, else its first expression. A rule without match covers by other means.
func (x *reach) file() {
	uses := map[indexKey]int{}
	for _, r := range x.rules {
		for _, c := range r.match {
			for _, v := range c.consts {
				uses[x.key(c.field, v)]++
			}
		}
	}
	for n, r := range x.rules {
		c := x.rarest(r, uses)
		if c == nil {
			f := fieldRef{}
			if len(r.match) > 0 {
				f = plain(r.match[0].field)
			}
			x.loose[f] = append(x.loose[f], n)
			continue
		}
		for _, v := range c.consts {
			key := x.key(c.field, v)
			x.keyed[key] = append(x.keyed[key], n)
		}
	}
}

// key files maps and denies together.
func (x *reach) key(f fieldRef, v string) indexKey { return indexKey{plain(f), v} }

func plain(f fieldRef) fieldRef {
	f.deny = false
	return f
}

func (x *reach) rarest(r *rule, uses map[indexKey]int) *condition {
	var best *condition
	least := 0
	for i := range r.match {
		c := &r.match[i]
		if len(c.consts) == 0 || len(c.patterns) > 0 {
			continue
		}
		n := 0
		for _, v := range c.consts {
			n = max(n, uses[x.key(c.field, v)])
		}
		if best == nil || n < least {
			best, least = c, n
		}
	}
	return best
}

// look compares map n with the earlier rules that may cover it.
func (x *reach) look(n int) {
	b := x.rules[n]
	var partly []*rule
	for _, m := range x.earlier(n) {
		a := x.rules[m]
		switch x.covers(a, b) {
		case full:
			x.unreachable(n, a)
			return
		case part:
			if a.Kind == Map {
				partly = append(partly, a)
			}
		}
	}
	if len(partly) > 0 {
		x.shadowed(n, partly)
	}
}

func (x *reach) unreachable(n int, a *rule) {
	if a.Kind == Deny {
		x.k.fail(x.index[n], "", "A map that is never reached", "%v refuses every login that it would grant.", a.ref)
		return
	}
	x.k.fail(x.index[n], "", "A map that is never reached", "%v comes first and grants every login that it would. Move it up or remove it.", a.ref)
}

func (x *reach) shadowed(n int, partly []*rule) {
	more := ""
	if len(partly) > 1 {
		more = fmt.Sprintf(" So do %d more maps.", len(partly)-1)
	}
	x.k.warn(x.index[n], "", "A map shadowed in part", "%v comes first and grants some of the logins that this map would.%s The first map that grants decides.", partly[0].ref, more)
}

// earlier lists the rules before n that share a value with it, ascending.
func (x *reach) earlier(n int) []int {
	var out []int
	for i := range x.rules[n].match {
		c := &x.rules[n].match[i]
		for _, v := range c.consts {
			out = append(out, x.keyed[x.key(c.field, v)]...)
		}
		out = append(out, x.loose[plain(c.field)]...)
	}
	out = append(out, x.loose[fieldRef{}]...)
	slices.Sort(out)
	out = slices.Compact(out)
	at, _ := slices.BinarySearch(out, n)
	return out[:at]
}

// covers tells how much of map b rule a takes.
func (x *reach) covers(a, b *rule) cover {
	got := full
	for _, f := range []func(a, b *rule) cover{
		coversKind, coversListeners, coversFrom, coversWhen, x.coversDatabases, x.coversRoles, x.coversMatch,
	} {
		if got = min(got, f(a, b)); got == none {
			return none
		}
	}
	return got
}

// coversKind: the console and the databases never meet; a map without replication leaves those
// logins to the next.
func coversKind(a, b *rule) cover {
	switch {
	case a.Kind == Deny:
		return full
	case (a.Admin == "") != (b.Admin == ""):
		return none
	case b.Replication && !a.Replication:
		return part
	}
	return full
}

func coversListeners(a, b *rule) cover {
	return coversList(a.Listeners == nil, b.Listeners == nil, a.Listeners, b.Listeners)
}

// coversList compares two lists, each of which may stand for everything.
func coversList(aAll, bAll bool, a, b []string) cover {
	switch {
	case aAll:
		return full
	case bAll:
		return part
	}
	shared := 0
	for _, v := range b {
		if slices.Contains(a, v) {
			shared++
		}
	}
	switch shared {
	case 0:
		return none
	case len(b):
		return full
	}
	return part
}

func coversFrom(a, b *rule) cover {
	switch {
	case a.From == nil:
		return full
	case b.From == nil:
		return part
	}
	got := none
	all := true
	for _, p := range b.From {
		inside := slices.ContainsFunc(a.From, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Overlaps(p) })
		if inside || slices.ContainsFunc(a.From, p.Overlaps) {
			got = part
		}
		all = all && inside
	}
	if all {
		return full
	}
	return got
}

// coversWhen: what an expression grants is only known where the other map has the same.
func coversWhen(a, b *rule) cover {
	if a.When == nil || a.WhenText != "" && a.WhenText == b.WhenText {
		return full
	}
	return none
}

func (x *reach) coversDatabases(a, b *rule) cover {
	if a.Kind == Map && a.Admin != "" || a.Kind == Deny && a.Databases == nil {
		return full
	}
	if b.Admin != "" {
		return coversList(slices.Contains(a.Databases, "*"), false, a.Databases, x.k.config.AdminDatabases)
	}
	return coversList(x.allDatabases(a.Databases), x.allDatabases(b.Databases), a.Databases, b.Databases)
}

// allDatabases reports a list that stands for every database there is.
func (x *reach) allDatabases(list []string) bool {
	if slices.Contains(list, "*") {
		return true
	}
	if x.k.policy.any != nil {
		return false
	}
	for name := range x.k.policy.databases {
		if !slices.Contains(list, name) {
			return false
		}
	}
	return len(x.k.policy.databases) > 0
}
