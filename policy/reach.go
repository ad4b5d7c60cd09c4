package policy

import (
	"net/netip"
	"slices"
)

// maxWork bounds how often lint compares two rules, or runs an expression on a constant: about a
// second.
const maxWork = 2 << 20

// cover is how much of one rule another one takes.
type cover uint8

const (
	none cover = iota // nothing, or nothing for certain
	part
	full
)

// reach finds maps that an earlier rule leaves no login to, or only some.
type reach struct {
	k     *compiler
	rules []*rule // denies, then maps: the order of evaluation
	at    []int   // of each in Config.Rules
	file  *reachFile
	work  int
	bad   map[int]bool // rules with errors, by their number in Config.Rules: they are left out
}

// lint reports what only all rules together show.
func (k *compiler) lint() {
	bad := map[int]bool{}
	for _, f := range k.findings {
		bad[f.Index] = bad[f.Index] || f.Severity == Error
	}
	x := &reach{k: k, bad: bad}
	x.gather(k.policy.denies.rules, Deny)
	x.gather(k.policy.maps.rules, Map)
	x.file = newReachFile(x)
	for n, b := range x.rules {
		if b.Kind == Map && len(b.match) > 0 {
			x.look(n)
		}
		if x.work > maxWork {
			k.warn(x.at[n], "", "Not checked further", "So many rules resemble each other that maps from here on were not checked for being reachable.")
			return
		}
	}
}

// gather lists the sound rules with their place in the configuration.
func (x *reach) gather(rules []rule, kind Kind) {
	next := 0
	for i := range x.k.config.Rules {
		if x.k.config.Rules[i].Kind != kind {
			continue
		}
		if !x.bad[i] {
			x.rules = append(x.rules, &rules[next])
			x.at = append(x.at, i)
		}
		next++
	}
}

// look compares map n with the earlier rules that may cover it.
func (x *reach) look(n int) {
	b := x.rules[n]
	var partly *rule
	for _, m := range x.file.earlier(n) {
		a := x.rules[m]
		x.work++
		switch x.covers(a, b) {
		case full:
			x.unreachable(n, a)
			return
		case part:
			if a.Kind == Map && partly == nil {
				partly = a
			}
		}
	}
	if partly != nil {
		x.say(Warning, n, "A map shadowed in part", "%v comes first and grants some of the logins that this map would. The first map that grants decides.", partly.ref)
	}
}

func (x *reach) say(s Severity, n int, summary, format string, args ...any) {
	x.k.note(s, x.at[n], "", summary, format, args...).Relative = true
}

func (x *reach) unreachable(n int, a *rule) {
	if a.Kind == Deny {
		x.say(Error, n, "A map that is never reached", "%v refuses every login that it would grant.", a.ref)
		return
	}
	x.say(Error, n, "A map that is never reached", "%v comes first and grants every login that it would. Move it up or remove it.", a.ref)
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
