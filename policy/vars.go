package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgsignet/pgsignet/policy/identity"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// VarTypes are the types of cert, request and now: what an expression may read. A text field
// that the certificate does not have is null, a list without values is empty.
func VarTypes() map[string]cty.Type {
	texts := cty.List(cty.String)
	return map[string]cty.Type{
		"cert": cty.Object(map[string]cty.Type{
			"cn": cty.String, "dn": cty.String, "o": texts, "ou": texts,
			"email": texts, "dns": texts, "uri": texts, "ip": texts,
			"spiffe": cty.String, "issuer": cty.String, "serial": cty.String, "sha256": cty.String,
			"extension": cty.Map(cty.String),
		}),
		"request": cty.Object(map[string]cty.Type{
			"user": cty.String, "database": cty.String, "application_name": cty.String, "address": cty.String,
		}),
		"now": cty.Object(map[string]cty.Type{
			"hour": cty.Number, "weekday": cty.Number, "unix": cty.Number,
		}),
	}
}

// UnknownVars holds unknown values of VarTypes: with them an expression can be type-checked
// before there is a login.
func UnknownVars() map[string]cty.Value {
	vars := map[string]cty.Value{}
	for name, ty := range VarTypes() {
		attrs := map[string]cty.Value{}
		for attr, t := range ty.AttributeTypes() {
			attrs[attr] = cty.UnknownVal(t)
		}
		vars[name] = cty.ObjectVal(attrs)
	}
	return vars
}

// variables returns the login's values, made on first use.
func (d *decision) variables() map[string]cty.Value {
	if d.vars == nil {
		d.vars = map[string]cty.Value{"cert": certVar(d.r.Identity), "request": requestVar(&d.r), "now": nowVar(&d.r)}
	}
	return d.vars
}

func certVar(id *identity.Identity) cty.Value {
	addrs := make([]string, len(id.IP))
	for i, a := range id.IP {
		addrs[i] = a.String()
	}
	return cty.ObjectVal(map[string]cty.Value{
		"cn": text(id.CN), "dn": text(id.DN), "o": texts(id.O), "ou": texts(id.OU),
		"email": texts(id.Email), "dns": texts(id.DNS), "uri": texts(id.URI), "ip": texts(addrs),
		"spiffe": text(id.SPIFFE), "issuer": text(id.Issuer), "serial": text(id.Serial), "sha256": text(id.SHA256),
		"extension": textMap(id.Extension),
	})
}

func requestVar(r *Request) cty.Value {
	address := cty.NullVal(cty.String)
	if r.Addr.IsValid() {
		address = cty.StringVal(r.Addr.String())
	}
	return cty.ObjectVal(map[string]cty.Value{
		"user": exact(r.User), "database": exact(r.Database),
		"application_name": exact(r.ApplicationName), "address": address,
	})
}

// nowVar counts weekdays as extract(dow) does: Sunday is 0.
func nowVar(r *Request) cty.Value {
	now := r.Now.UTC()
	return cty.ObjectVal(map[string]cty.Value{
		"hour":    cty.NumberIntVal(int64(now.Hour())),
		"weekday": cty.NumberIntVal(int64(now.Weekday())),
		"unix":    cty.NumberIntVal(now.Unix()),
	})
}

// text is null for a field that the certificate does not have.
func text(s string) cty.Value {
	if s == "" {
		return cty.NullVal(cty.String)
	}
	return exact(s)
}

// exact is s, or unknown when cty would change it: it brings text to NFC, and names that differ
// by their bytes must not become equal (T13). An expression that depends on it then refuses.
func exact(s string) cty.Value {
	v := cty.StringVal(s)
	if v.AsString() != s {
		return cty.UnknownVal(cty.String)
	}
	return v
}

func texts(list []string) cty.Value {
	if len(list) == 0 {
		return cty.ListValEmpty(cty.String)
	}
	vals := make([]cty.Value, len(list))
	for i, s := range list {
		vals[i] = exact(s)
	}
	return cty.ListVal(vals)
}

func textMap(m map[string]string) cty.Value {
	if len(m) == 0 {
		return cty.MapValEmpty(cty.String)
	}
	vals := make(map[string]cty.Value, len(m))
	for k, v := range m {
		vals[k] = exact(v)
	}
	return cty.MapVal(vals)
}

// when evaluates a rule's condition; without one it fits.
func (d *decision) when(rule *rule) outcome {
	if rule.When == nil {
		return outcome{step: fits}
	}
	v, err := d.eval(rule.When, cty.Bool)
	switch {
	case err != nil:
		return outcome{step: atWhen, err: err}
	case v.False():
		return outcome{step: atWhen}
	}
	return outcome{step: fits}
}

// eval evaluates an expression to a known value of type ty.
func (d *decision) eval(e Expr, ty cty.Type) (cty.Value, error) {
	v, err := e.Eval(d.variables())
	if err != nil {
		return cty.NilVal, err
	}
	return known(v, ty)
}

// known converts v to ty. Unknown and null are errors: they never mean yes.
func known(v cty.Value, ty cty.Type) (cty.Value, error) {
	v, _ = v.UnmarkDeep()
	if ty == cty.Bool && v.Type() != cty.Bool {
		return cty.NilVal, fmt.Errorf("the value is a %s, not a bool", v.Type().FriendlyName())
	}
	v, err := convert.Convert(v, ty)
	switch {
	case err != nil:
		return cty.NilVal, err
	case !v.IsKnown():
		return cty.NilVal, fmt.Errorf("the value is unknown")
	case v.IsNull():
		return cty.NilVal, fmt.Errorf("the value is null")
	}
	return v, nil
}

// grant builds what a map that fits grants. Settings that fail refuse the login.
func (d *decision) grant(rule *rule, role string) (*Grant, outcome) {
	settings, o := d.settings(rule)
	if o.err != nil {
		return nil, o
	}
	g := &Grant{
		Rule: rule.ref, Matched: rule.matched, Captures: d.groups(rule), Role: role, Database: d.r.Database,
		PoolMode: rule.PoolMode, Audit: rule.Audit, Admin: rule.Admin,
		Replication: rule.Replication, FingerprintOnly: rule.FingerprintOnly, Limits: rule.Limits,
		Session:     rule.session(settings),
		IdentityKey: identityKey(d.r.Identity),
	}
	if rule.Admin == "" {
		g.Upstream, g.DBName = d.target.db.Upstream, d.target.db.DBName
	}
	if d.r.Replication {
		g.PoolMode = "session"
	}
	return g, o
}

// session copies what does not depend on the login.
func (r *rule) session(settings []Setting) Session {
	s := &r.Session
	return Session{ReadOnly: s.ReadOnly, StatementTimeout: s.StatementTimeout, IdleTimeout: s.IdleTimeout,
		MaxDuration: s.MaxDuration, Settings: settings, Stamp: s.Stamp, StampSet: s.StampSet}
}

// settings evaluates the map's settings, sorted by name.
func (d *decision) settings(rule *rule) ([]Setting, outcome) {
	var out []Setting
	for _, s := range rule.Session.Settings {
		v, err := d.eval(s.Value, cty.String)
		if err == nil && strings.ContainsRune(v.AsString(), 0) {
			err = fmt.Errorf("the value holds a zero byte")
		}
		if err != nil {
			return nil, outcome{step: atSettings, err: fmt.Errorf("%s: %w", s.Name, err)}
		}
		out = append(out, Setting{Name: s.Name, Value: v.AsString()})
	}
	slices.SortFunc(out, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return out, outcome{step: fits}
}

// groups lists the captures of the value that fitted.
func (d *decision) groups(rule *rule) []string {
	if rule.capture == nil {
		return nil
	}
	hits := d.hitsOf(rule.capture)
	if len(hits) == 0 {
		return nil
	}
	out := make([]string, rule.capture.groups)
	for i := range out {
		out[i] = hits[0].group(i + 1)
	}
	return out
}

// identityKey is who limits count: a renewed certificate is no second allowance (T93).
func identityKey(id *identity.Identity) string {
	if id.SPIFFE != "" {
		return id.SPIFFE
	}
	return id.DN
}
