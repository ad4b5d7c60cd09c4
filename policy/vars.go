package policy

import (
	"github.com/pgsignet/pgsignet/policy/identity"
	"github.com/zclconf/go-cty/cty"
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
