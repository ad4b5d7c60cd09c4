package policy

import (
	"net/netip"
	"slices"
)

// coversMatch tells whether an identity that fits b fits a: always, for some value that b
// names, or not for certain.
func (x *reach) coversMatch(a, b *rule) cover {
	got := full
	for i := range a.match {
		best := none
		for j := range b.match {
			if plain(a.match[i].field) == plain(b.match[j].field) {
				best = max(best, x.coversCondition(&a.match[i], &b.match[j]))
			}
		}
		if got = min(got, best); got == none {
			return none
		}
	}
	return got
}

// coversCondition compares two conditions on one field.
func (x *reach) coversCondition(ca, cb *condition) cover {
	all, some := true, false
	see := func(in bool) { all, some = all && in, some || in }
	for _, v := range cb.consts {
		see(ca.hasConst(v) || slices.ContainsFunc(ca.patterns, func(p *pattern) bool { return x.fits(p, v) }))
	}
	for _, n := range cb.nets {
		see(slices.ContainsFunc(ca.nets, func(q netip.Prefix) bool { return q.Bits() <= n.Bits() && q.Overlaps(n) }))
	}
	for _, p := range cb.patterns {
		see(slices.ContainsFunc(ca.patterns, func(q *pattern) bool { return q.source == p.source }))
		some = some || slices.ContainsFunc(ca.consts, func(v string) bool { return x.fits(p, v) })
	}
	switch {
	case all:
		return full
	case some:
		return part
	}
	return none
}

// fits runs an expression on a constant, and counts.
func (x *reach) fits(p *pattern, v string) bool {
	x.work++
	return p.fits(v)
}
