package main

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// writeExplanation writes a login for people: what was checked, found, tried and decided.
func writeExplanation(w io.Writer, e *explanation) error {
	p := &printer{w: w}
	writeLogin(p, e)
	writeVerification(p, e.verdict)
	if e.verdict.Identity != nil {
		writeIdentity(p, e.verdict.Identity)
	}
	if e.verdict.Identity != nil && e.startup == nil {
		writeSteps(p, e.policy.Steps)
	}
	if g := e.Grant(); g != nil {
		writeGrant(p, e, g)
	} else {
		writeRefusal(p, e.refusal())
	}
	return p.err
}

func writeLogin(p *printer, e *explanation) {
	r := &e.request
	p.printf("Login\n")
	p.printf("  certificate  %s\n", e.file)
	p.printf("  listener     %s\n", r.Listener)
	p.printf("  user         %s\n", identity.Describe(r.User))
	p.printf("  database     %s\n", identity.Describe(r.Database))
	if r.Addr.IsValid() {
		p.printf("  address      %s\n", r.Addr)
	}
	if r.ApplicationName != "" {
		p.printf("  application  %s\n", identity.Describe(r.ApplicationName))
	}
	if r.Replication {
		p.printf("  replication  yes\n")
	}
	p.printf("  time         %s\n", timeText(r.Now))
}

func timeText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// writeVerification writes every chain that was tried and every check on it.
func writeVerification(p *printer, v *verdict) {
	p.printf("\nCertificate\n")
	chains := v.Report.Chains()
	checks := v.Report.Checks()
	for n, c := range chains {
		p.printf("  chain %d\n", n+1)
		for i, cert := range c.Certs {
			p.printf("    %d  %s%s\n", i, certificateText(cert), anchorText(c, i))
		}
		for _, k := range checks {
			if k.Chain == n {
				writeCheck(p, k)
			}
		}
	}
	for _, k := range checks {
		if k.Chain < 0 || k.Chain >= len(chains) {
			writeCheck(p, k)
		}
	}
	switch {
	case v.Refusal != nil:
		p.printf("  refused: %s\n", v.Refusal.Public())
	default:
		p.printf("  accepted until %s; revocation: %s\n", timeText(v.NotAfter), revocationText(v.Revocation))
	}
}

func certificateText(c *x509.Certificate) string {
	dn, err := identity.FormatDN(c.RawSubject)
	if err != nil {
		return "subject unreadable, serial " + c.SerialNumber.Text(16)
	}
	return fmt.Sprintf("%s, serial %s", identity.Describe(dn), c.SerialNumber.Text(16))
}

func anchorText(c trust.Chain, i int) string {
	if c.Anchor == "" || i != len(c.Certs)-1 {
		return ""
	}
	return "\n       anchor " + c.Anchor
}

func writeCheck(p *printer, k trust.Check) {
	result := "ok  "
	if !k.Pass {
		result = "FAIL"
	}
	where := ""
	if k.Cert >= 0 {
		where = fmt.Sprintf("%d  ", k.Cert)
	}
	p.printf("    %s  %s%-15s %s\n", result, where, k.Name, k.Evidence)
}

func revocationText(source string) string {
	switch source {
	case "crl":
		return "a CRL says it is good"
	case "ocsp":
		return "OCSP says it is good"
	}
	return "no source is set up, or none has an answer at hand"
}

// identityField is one line of the identity: values as `match` sees them.
type identityField struct {
	name   string
	values []string
}

// identityFields lists what a certificate has, in the order of match's table.
func identityFields(id *identity.Identity) []identityField {
	var addresses []string
	for _, a := range id.IP {
		addresses = append(addresses, a.String())
	}
	fields := []identityField{
		{"cn", id.CNs}, {"o", id.O}, {"ou", id.OU}, {"dn", []string{id.DN}}, {"email", id.Email}, {"dns", id.DNS},
		{"uri", id.URI}, {"ip", addresses}, {"spiffe", []string{id.SPIFFE}}, {"issuer", []string{id.Issuer}},
		{"serial", []string{id.Serial}}, {"sha256", []string{id.SHA256}}, {"spki_sha256", []string{id.SPKISHA256}},
		{"anchor", id.Anchors},
	}
	for _, oid := range sortedKeys(id.Extension) {
		fields = append(fields, identityField{"extension " + oid, []string{id.Extension[oid]}})
	}
	var out []identityField
	for _, f := range fields {
		if len(f.values) > 0 && f.values[0] != "" {
			out = append(out, f)
		}
	}
	return out
}

func writeIdentity(p *printer, id *identity.Identity) {
	p.printf("\nIdentity\n")
	for _, f := range identityFields(id) {
		var values []string
		for _, v := range f.values {
			values = append(values, identity.Describe(v))
		}
		p.printf("  %-11s %s\n", f.name, strings.Join(values, ", "))
	}
	if id.Ambiguous {
		p.printf("  ambiguous: several common names, or other URIs beside a SPIFFE ID; no map fits on those\n")
	}
}

// writeSteps writes every rule with the first condition that failed.
func writeSteps(p *printer, steps []policy.Step) {
	p.printf("\nRules, in the order they are tried\n")
	for _, s := range steps {
		p.printf("  %s: %s\n", ruleText(s.Rule), stepText(s))
	}
	if len(steps) == 0 {
		p.printf("  none\n")
	}
}

func ruleText(r policy.RuleRef) string {
	return fmt.Sprintf("%s %q (%s:%d)", r.Kind, r.Name, r.File, r.Line)
}

func stepText(s policy.Step) string {
	switch {
	case !s.Reached:
		return "not reached"
	case s.Fits && s.Rule.Kind == policy.Deny:
		return "REFUSES"
	case s.Fits:
		return "GRANTS"
	case s.Condition == "when" && s.Got == "false":
		return "when: this is false: " + s.Want
	case s.Condition == "when" || s.Condition == "session.settings":
		return s.Got // names the condition itself
	case s.Condition == "role":
		return fmt.Sprintf("role: %s: %s", s.Want, s.Got)
	}
	return fmt.Sprintf("%s: wants %s; has %s", s.Condition, s.Want, s.Got)
}

func writeGrant(p *printer, e *explanation, g *policy.Grant) {
	p.printf("\nGranted by %s\n", ruleText(g.Rule))
	for _, f := range grantFields(e, g) {
		p.printf("  %-18s %s\n", f.name, strings.Join(f.values, ", "))
	}
}

// grantFields lists what the login gets; what is the default says so.
func grantFields(e *explanation, g *policy.Grant) []identityField {
	if g.Admin != "" {
		return []identityField{{"console", []string{g.Admin}}}
	}
	mode, audit := g.PoolMode, cmp.Or(g.Audit, e.cfg.Audit.Level)
	if u := e.upstream(); u != nil && mode == "" {
		mode = u.Pool.Mode
	}
	fields := []identityField{
		{"role", []string{identity.Describe(g.Role)}},
		{"upstream", []string{g.Upstream}},
		{"database", []string{identity.Describe(g.DBName)}},
		{"pool mode", []string{mode}},
		{"audit", []string{audit}},
	}
	add := func(name string, present bool, value string) {
		if present {
			fields = append(fields, identityField{name, []string{value}})
		}
	}
	s := &g.Session
	add("captures", len(g.Captures) > 0, quoteList(g.Captures))
	add("fingerprint only", g.FingerprintOnly, "yes")
	add("replication", g.Replication, "allowed")
	add("read only", s.ReadOnly, "yes")
	add("statement timeout", s.StatementTimeout > 0, config.FormatDuration(s.StatementTimeout))
	add("idle timeout", s.IdleTimeout > 0, config.FormatDuration(s.IdleTimeout))
	add("max duration", s.MaxDuration > 0, config.FormatDuration(s.MaxDuration))
	for _, set := range s.Settings {
		add("set "+set.Name, true, identity.Describe(set.Value))
	}
	add("stamp", s.StampSet, cmp.Or(strings.Join(s.Stamp, ", "), "nothing"))
	l := g.Limits
	add("sessions", l.Sessions > 0, fmt.Sprintf("at most %d of %s", l.Sessions, identity.Describe(g.IdentityKey)))
	add("map sessions", l.MapSessions > 0, fmt.Sprintf("at most %d", l.MapSessions))
	add("pool", l.Pool > 0, fmt.Sprintf("at most %d servers", l.Pool))
	return fields
}

func quoteList(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, identity.Describe(s))
	}
	return strings.Join(out, ", ")
}

// writeRefusal writes the reason, and what the client reads of it.
func writeRefusal(p *printer, r refusal) {
	p.printf("\nRefused: %s\n", r.Reason())
	if d, ok := r.(*policy.Denied); ok {
		if d.Rule != nil {
			p.printf("  rule    %s\n", ruleText(*d.Rule))
		}
		if d.Cause != "" {
			p.printf("  cause   %s\n", d.Cause)
		}
	}
	p.printf("  client  FATAL %s: %s\n", r.SQLState(), r.Public())
	if d, ok := r.(interface{ Detail() string }); ok && d.Detail() != "" {
		p.printf("          DETAIL: %s\n", d.Detail())
	}
	if h, ok := r.(interface{ Hint() string }); ok && h.Hint() != "" {
		p.printf("          HINT: %s\n", h.Hint())
	}
}
