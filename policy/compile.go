package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// compiler gathers what rules share while they are compiled.
type compiler struct {
	config   Config
	policy   *Policy
	patterns map[patternKey]patternResult
	findings []Finding
}

// patternKey tells apart expressions that a decision must run by themselves.
type patternKey struct {
	field  fieldRef
	source string
}

type patternResult struct {
	pattern *pattern
	err     error
}

// compile builds the policy and finds everything that is wrong with it. The policy is only
// sound when no finding is an Error.
func compile(c Config) (*Policy, []Finding) {
	k := &compiler{config: c, patterns: map[patternKey]patternResult{}, policy: &Policy{
		databases: map[string]Database{},
		consoles:  slices.Clone(c.AdminDatabases),
		listeners: map[string]Listener{},
	}}
	k.targets()
	for i := range c.Rules {
		k.rule(i)
	}
	k.policy.patterns = len(k.patterns)
	slices.Sort(k.policy.oids)
	k.policy.oids = slices.Compact(k.policy.oids)
	k.policy.denies.index = newIndex(k.policy.denies.rules)
	k.policy.maps.index = newIndex(k.policy.maps.rules)
	k.policy.maps.users = newHints(k.policy.maps.rules)
	k.lint()
	slices.SortStableFunc(k.findings, func(a, b Finding) int { return a.Index - b.Index })
	return k.policy, k.findings
}

// targets notes the databases and listeners.
func (k *compiler) targets() {
	for _, d := range k.config.Databases {
		if d.Name == "*" {
			k.policy.any = &d
			continue
		}
		k.policy.databases[d.Name] = d
	}
	for _, l := range k.config.Listeners {
		k.policy.listeners[l.Name] = l
	}
}

// rule compiles rule number i of the configuration.
func (k *compiler) rule(i int) {
	src := k.config.Rules[i]
	r := rule{Rule: src, ref: src.Ref(), captureAt: -1}
	r.From = unmapped(src.From)
	k.policy.oids = append(k.policy.oids, src.Reads...)
	for j := range src.Match {
		k.condition(i, &r, &src.Match[j])
	}
	for _, t := range roleSources(&src) {
		r.roles = append(r.roles, parseTemplate(t))
	}
	k.checkRule(i, &r)
	switch src.Kind {
	case Deny:
		k.policy.denies.rules = append(k.policy.denies.rules, r)
	case Map:
		k.policy.maps.rules = append(k.policy.maps.rules, r)
	}
}

// roleSources lists the roles of a map as written: `role`, then `roles`.
func roleSources(r *Rule) []string {
	if r.Role == "" {
		return r.Roles
	}
	return append([]string{r.Role}, r.Roles...)
}

// unmapped writes IPv4 prefixes inside IPv6 as IPv4, which is how addresses are compared.
func unmapped(from []netip.Prefix) []netip.Prefix {
	out := slices.Clone(from)
	for i, p := range out {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			out[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	return out
}

// condition compiles one attribute of match.
func (k *compiler) condition(i int, r *rule, src *Condition) {
	c := condition{
		field:  fieldRef{field: src.Field, oid: src.OID, deny: r.Kind == Deny},
		name:   src.Name(),
		source: src.Values,
	}
	if src.Field == FieldExtension {
		k.policy.oids = append(k.policy.oids, src.OID)
	}
	for _, v := range src.Values {
		k.value(i, r, &c, v)
	}
	if len(c.consts) >= manyConsts {
		c.set = make(map[string]struct{}, len(c.consts))
		for _, v := range c.consts {
			c.set[v] = struct{}{}
		}
	}
	r.match = append(r.match, c)
	r.matched = append(r.matched, c.name)
}

// value compiles one value of an attribute.
func (k *compiler) value(i int, r *rule, c *condition, v string) {
	attr := "match." + c.field.field.String()
	switch {
	case isPattern(v):
		p, err := k.pattern(c.field, v[1:])
		if err != nil {
			k.fail(i, attr, "Bad regular expression", "%q: %v. Expressions are RE2 (https://github.com/google/re2/wiki/Syntax).", v, err)
			r.broken = true
			return
		}
		c.patterns = append(c.patterns, p)
		k.captures(i, r, p, attr)
	case c.field.field == FieldIP:
		k.address(i, c, v, attr)
	default:
		c.consts = append(c.consts, v)
	}
}

// captures notes the one expression with captures that a map may have.
func (k *compiler) captures(i int, r *rule, p *pattern, attr string) {
	if p.groups == 0 || r.Kind != Map {
		return
	}
	if r.capture != nil {
		k.fail(i, attr, "Two expressions with captures",
			`Only one expression of a map may have captures, so that \1 is never in doubt. Write (?:...) for brackets that only group.`)
		return
	}
	r.capture, r.captureAt = p, len(r.match)
}

// address compiles a constant of `ip`: an address or a CIDR.
func (k *compiler) address(i int, c *condition, v, attr string) {
	prefix, err := ParsePrefix(v)
	if err != nil {
		k.fail(i, attr, "Bad address", "%q: %v.", v, err)
		return
	}
	if prefix.Addr().Is4In6() {
		k.fail(i, attr, "Bad address", "%q is IPv4 inside IPv6, which a certificate's `ip` never is. Write it as IPv4.", v)
		return
	}
	c.nets = append(c.nets, prefix)
}

// ParsePrefix reads a CIDR or a single address. Bits after the mask are cut, as in pg_hba.conf.
func ParsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("not an IP address or a CIDR such as 10.0.0.0/8")
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("not an IP address or a CIDR such as 10.0.0.0/8")
	}
	return p.Masked(), nil
}

// pattern compiles an expression once for all rules that write it for this field.
func (k *compiler) pattern(f fieldRef, source string) (*pattern, error) {
	key := patternKey{field: f, source: source}
	if got, ok := k.patterns[key]; ok {
		return got.pattern, got.err
	}
	p, err := compilePattern(source)
	if p != nil {
		p.id, p.field = len(k.patterns), f
		p.asciiOnly = !f.deny && foldsCase(source)
	}
	k.patterns[key] = patternResult{pattern: p, err: err}
	return p, err
}
