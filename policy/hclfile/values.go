package hclfile

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// maxDuration bounds every duration: more than this is a slip of the pen.
const maxDuration = 10 * 365 * 24 * time.Hour

// attrs are the attributes of one block, and where to note their places.
type attrs struct {
	d      *decoder
	all    hcl.Attributes
	places map[string]hcl.Range
	prefix string // of names in places: "session."
}

// find returns an attribute and notes its place; nil when it is absent. null is refused: it would be a condition
// that is not there.
func (a attrs) find(name string) *hcl.Attribute {
	attr := a.all[name]
	if attr == nil {
		return nil
	}
	if v, diags := attr.Expr.Value(nil); !diags.HasErrors() && v.IsNull() {
		a.d.errorf(attr.Expr.Range(), "Wrong type", "%s takes a value, not null; leave the line out if none is meant.", name)
		return nil
	}
	a.places[a.prefix+name] = attr.Expr.Range()
	return attr
}

// constant evaluates an expression that may read nothing, as type ty.
func (d *decoder) constant(name string, e hcl.Expression, ty cty.Type) (cty.Value, bool) {
	v, diags := e.Value(nil)
	d.diags = append(d.diags, diags...)
	if diags.HasErrors() {
		return v, false
	}
	v, err := convert.Convert(v, ty)
	if err != nil || v.IsNull() || !v.IsKnown() {
		d.errorf(e.Range(), "Wrong type", "%s takes a %s.", name, ty.FriendlyName())
		return v, false
	}
	return v, true
}

// text reads a string, "" when it is absent.
func (a attrs) text(name string) string {
	attr := a.find(name)
	if attr == nil {
		return ""
	}
	return a.d.text(name, attr.Expr)
}

// text reads a string exactly as it is written.
func (d *decoder) text(name string, e hcl.Expression) string {
	v, ok := d.constant(name, e, cty.String)
	if !ok {
		return ""
	}
	s := d.exact(e, v.AsString())
	if s == "" {
		d.errorf(e.Range(), "Empty value", "%s must not be empty.", name)
	}
	return s
}

// list reads a list of strings, or a single one where alone is set. It is nil when the
// attribute is absent, and not nil when the list is empty.
func (a attrs) list(name string, alone bool) []string {
	attr := a.find(name)
	if attr == nil {
		return nil
	}
	return a.d.list(name, attr.Expr, alone)
}

func (d *decoder) list(name string, e hcl.Expression, alone bool) []string {
	out := []string{}
	items, diags := hcl.ExprList(e)
	switch {
	case !diags.HasErrors():
		for _, item := range items {
			out = append(out, d.text(name, item))
		}
	case alone:
		out = append(out, d.text(name, e))
	default:
		d.errorf(e.Range(), "Wrong type", "%s takes a list of strings: write [%s].", name, d.source(e, `"..."`))
	}
	return out
}

// flag reads a boolean, false when it is absent.
func (a attrs) flag(name string) bool {
	attr := a.find(name)
	if attr == nil {
		return false
	}
	v, ok := a.d.constant(name, attr.Expr, cty.Bool)
	return ok && v.True()
}

// count reads a whole number of at least 1, 0 when it is absent.
func (a attrs) count(name string) int {
	attr := a.find(name)
	if attr == nil {
		return 0
	}
	v, ok := a.d.constant(name, attr.Expr, cty.Number)
	if !ok {
		return 0
	}
	n, accuracy := v.AsBigFloat().Int64()
	if accuracy != 0 || n < 1 || n > 1<<31-1 {
		a.d.errorf(attr.Expr.Range(), "Number out of range", "%s takes a whole number of at least 1; leave it out for no limit.", name)
		return 0
	}
	return int(n)
}

// duration reads a duration, 0 when it is absent.
func (a attrs) duration(name string) time.Duration {
	s := a.text(name)
	if s == "" {
		return 0
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 || v > maxDuration {
		a.d.errorf(a.places[a.prefix+name], "Not a duration", `%s takes a duration such as "500ms", "30s" or "24h", not %q.`, name, s)
		return 0
	}
	return v
}

// prefixes reads a list of CIDRs and addresses.
func (a attrs) prefixes(name string) []netip.Prefix {
	attr := a.find(name)
	if attr == nil {
		return nil
	}
	out := []netip.Prefix{}
	for _, s := range a.d.list(name, attr.Expr, true) {
		p, err := policy.ParsePrefix(s)
		if err != nil {
			a.d.errorf(attr.Expr.Range(), "Bad address", "%q is %v.", s, err)
		}
		out = append(out, p) // the zero Prefix, which fits nothing, for one that was reported: the list is not empty
	}
	return out
}

// errorf reports an error at r.
func (d *decoder) errorf(r hcl.Range, summary, format string, args ...any) {
	d.report(hcl.DiagError, r, summary, format, args...)
}

// warnf reports a warning at r.
func (d *decoder) warnf(r hcl.Range, summary, format string, args ...any) {
	d.report(hcl.DiagWarning, r, summary, format, args...)
}

func (d *decoder) report(s hcl.DiagnosticSeverity, r hcl.Range, summary, format string, args ...any) {
	d.diags = d.diags.Append(&hcl.Diagnostic{Severity: s, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: r.Ptr()})
}
