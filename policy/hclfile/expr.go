package hclfile

import (
	"errors"

	"github.com/hashicorp/hcl/v2"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// expr is an HCL expression with the functions it may call. HCL expressions do not change when
// they are evaluated, so it is safe for concurrent use.
type expr struct {
	e         hcl.Expression
	functions map[string]function.Function
}

// Eval implements policy.Expr.
func (x expr) Eval(vars map[string]cty.Value) (cty.Value, error) {
	v, diags := x.e.Value(&hcl.EvalContext{Variables: vars, Functions: x.functions})
	if diags.HasErrors() {
		return cty.NilVal, errors.New(firstError(diags))
	}
	return v, nil
}

// firstError is the first error without its place, which the rule's own tells.
func firstError(diags hcl.Diagnostics) string {
	for _, diag := range diags {
		if diag.Severity == hcl.DiagError {
			return diag.Summary + ": " + diag.Detail
		}
	}
	return ""
}

// when reads a rule's condition.
func (d *decoder) when(a attrs, r *policy.Rule) {
	attr := a.find("when")
	if attr == nil {
		return
	}
	r.WhenText = d.source(attr.Expr, "")
	v, ok := d.check("when", attr.Expr, cty.Bool)
	if !ok {
		return
	}
	if v.IsKnown() && v.False() {
		d.never(r.Kind, attr.Expr)
	}
	d.clientChosen(attr.Expr)
	r.Reads = append(r.Reads, d.extensionsRead(attr.Expr)...)
	r.When = expr{attr.Expr, d.functions}
}

// never reports a condition that is false whatever the login.
func (d *decoder) never(kind policy.Kind, e hcl.Expression) {
	const detail = "This is false for every login, also when it compares a number with a text: now.weekday is 0 for Sunday to 6."
	if kind == policy.Map {
		d.errorf(e.Range(), "A map that is never reached", "%s", detail)
		return
	}
	d.warnf(e.Range(), "A deny that never fits", "%s", detail)
}

// clientChosen warns of a condition that the client can choose to meet.
func (d *decoder) clientChosen(e hcl.Expression) {
	for _, t := range e.Variables() {
		if t.RootName() != "request" || len(t) < 2 {
			continue
		}
		if step, ok := t[1].(hcl.TraverseAttr); ok && step.Name == "application_name" {
			d.warnf(t.SourceRange(), "The client chooses this", "Any client can set application_name as it likes: it proves nothing. Decide by the certificate.")
		}
	}
}

// extensionsRead lists the OIDs that an expression reads: certificates are only searched for
// extensions that rules name.
func (d *decoder) extensionsRead(e hcl.Expression) []string {
	var out []string
	for _, t := range e.Variables() {
		if t.RootName() != "cert" || len(t) < 2 {
			continue
		}
		if step, ok := t[1].(hcl.TraverseAttr); !ok || step.Name != "extension" {
			continue
		}
		if len(t) > 2 {
			if index, ok := t[2].(hcl.TraverseIndex); ok && index.Key.Type() == cty.String {
				out = append(out, index.Key.AsString())
				continue
			}
		}
		d.warnf(t.SourceRange(), "An extension without its OID", "Only extensions that rules name are read: write cert.extension[\"1.3.6.1.4.1.55555.1.1\"].")
	}
	return out
}

// settings reads `settings`: names are constants, values expressions.
func (d *decoder) settings(attr *hcl.Attribute) []policy.SettingRule {
	var out []policy.SettingRule
	for _, p := range d.pairs(attr, `{ "app.caller" = cert.spiffe }`) {
		if _, ok := d.check("a setting", p.value, cty.String); ok {
			out = append(out, policy.SettingRule{Name: p.name, Value: expr{p.value, d.functions}})
		}
	}
	return out
}

// check evaluates an expression over unknown values: that finds names and types that are wrong.
func (d *decoder) check(name string, e hcl.Expression, ty cty.Type) (cty.Value, bool) {
	v, diags := e.Value(&hcl.EvalContext{Variables: policy.UnknownVars(), Functions: d.functions})
	d.diags = append(d.diags, diags...)
	if diags.HasErrors() {
		return v, false
	}
	v, _ = v.UnmarkDeep()
	got := v.Type().FriendlyName()
	v, err := convert.Convert(v, ty)
	if err != nil {
		d.errorf(e.Range(), "Wrong type", "%s must be a %s, and this is a %s.", name, ty.FriendlyName(), got)
		return v, false
	}
	if v.IsNull() {
		d.errorf(e.Range(), "Wrong type", "%s must not be null.", name)
		return v, false
	}
	return v, true
}
