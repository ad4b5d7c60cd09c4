package policy

import (
	"net/netip"
	"slices"
)

// conditionFits reports whether any value of the certificate fits any value of the attribute.
func (d *decision) conditionFits(c *condition) bool {
	if c.field.field == FieldIP && d.addressFits(c) {
		return true
	}
	if len(c.consts) > 0 {
		var one [1]string
		for _, v := range c.field.values(d.r.Identity, &one) {
			if c.hasConst(v) {
				return true
			}
		}
	}
	for _, p := range c.patterns {
		if len(d.hitsOf(p)) > 0 {
			return true
		}
	}
	return false
}

// addressFits compares the certificate's addresses with the constants of `ip`.
func (d *decision) addressFits(c *condition) bool {
	return slices.ContainsFunc(d.r.Identity.IP, func(a netip.Addr) bool { return contains(c.nets, a) })
}

func contains(nets []netip.Prefix, a netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// hitsOf returns the values that fit a pattern, in certificate order. Each pattern is run once
// a decision. Captures are only located where there are any.
func (d *decision) hitsOf(p *pattern) []hit {
	res := &d.results[p.id]
	if res.run != d.run {
		from := len(d.hits)
		d.runPattern(p)
		*res = result{run: d.run, from: from, to: len(d.hits)}
	}
	return d.hits[res.from:res.to]
}

// runPattern appends the hits of one pattern.
func (d *decision) runPattern(p *pattern) {
	if p.field.field == FieldIP {
		for _, a := range d.r.Identity.IP {
			d.runValue(p, a.String())
		}
		return
	}
	var one [1]string
	for _, v := range p.field.values(d.r.Identity, &one) {
		d.runValue(p, v)
	}
}

func (d *decision) runValue(p *pattern, v string) {
	if !p.fits(v) {
		return
	}
	h := hit{value: v}
	if p.groups > 0 && !p.field.deny {
		h.loc = p.re.FindStringSubmatchIndex(v)
		h.judge()
	}
	d.hits = append(d.hits, h)
}
