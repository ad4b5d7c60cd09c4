package policy

import (
	"net/netip"
	"strings"

	"github.com/pgsignet/pgsignet/policy/identity"
)

// describe tells which condition of a rule failed, what it asks, and what the login has.
func (d *decision) describe(r *rule, o outcome) (condition, want, got string) {
	if o.err != nil {
		return stepName(o.step), wanted(r, o), o.failed()
	}
	switch o.step {
	case atMatch:
		return "match." + o.cond.name, quoteAll(o.cond.source), d.has(o.cond)
	case atCaptures:
		return "role", quoteAll(roleSources(&r.Rule)), o.cause.String()
	case atListeners:
		return "listeners", quoteAll(r.Listeners), identity.Quote(d.r.Listener)
	case atFrom:
		return "from", prefixes(r.From), address(d.r.Addr)
	case atUser:
		return "roles", d.wantedRoles(r), "user " + identity.Describe(d.r.User)
	case atDatabase:
		return "databases", quoteAll(r.Databases), d.asked(r)
	case atReplication:
		return "replication", "false", "a replication connection"
	}
	return stepName(o.step), wanted(r, o), "false"
}

func stepName(s step) string {
	if s == atSettings {
		return "session.settings"
	}
	return "when"
}

func wanted(r *rule, o outcome) string {
	if o.step == atWhen {
		return r.WhenText
	}
	return ""
}

// has shows the certificate's values of one field, escaped.
func (d *decision) has(c *condition) string {
	if c.field.field == FieldIP {
		return addresses(d.r.Identity.IP)
	}
	var one [1]string
	values := c.field.values(d.r.Identity, &one)
	if len(values) == 0 && c.field.field == FieldCN && len(d.r.Identity.CNs) > 1 {
		return "none, because there are several: " + quoteAll(d.r.Identity.CNs)
	}
	return quoteAll(values)
}

// wantedRoles shows a map's roles with this certificate's captures filled in.
func (d *decision) wantedRoles(r *rule) string {
	h := &hit{}
	if r.capture != nil {
		h = first(d.hitsOf(r.capture))
	}
	var roles []string
	for i := range r.roles {
		roles = append(roles, r.roles[i].fill(h))
	}
	return quoteAll(roles)
}

// asked shows the requested database and why it leads nowhere.
func (d *decision) asked(r *rule) string {
	name := identity.Describe(d.r.Database)
	switch {
	case d.target.console && !d.target.offered:
		return name + ", the admin console, which this listener does not offer"
	case d.target.console:
		return name + ", the admin console"
	case r.Admin != "":
		return name + ", which is not the admin console"
	case !d.target.known:
		return name + ", which is not configured"
	}
	return name
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return "none"
	}
	return a.String()
}

func prefixes(list []netip.Prefix) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.String()
	}
	return strings.Join(out, ", ")
}

func addresses(list []netip.Addr) string {
	if len(list) == 0 {
		return "none"
	}
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return strings.Join(out, ", ")
}

// quoteAll lists values escaped to ASCII, so that look-alike letters show.
func quoteAll(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = identity.Describe(s)
	}
	return strings.Join(out, ", ")
}

// emptyIdentity stands for a missing one: no rule fits it.
var emptyIdentity = &identity.Identity{}
