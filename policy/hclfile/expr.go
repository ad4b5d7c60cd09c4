package hclfile

import (
	"errors"

	"github.com/hashicorp/hcl/v2"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/zclconf/go-cty/cty"
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
	detail := "This is false for every login."
	if len(e.Variables()) > 0 {
		detail += " A number is never equal to a text: now.weekday is 0 for Sunday to 6."
	}
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
func (d *decoder) settings(attr *hcl.Attribute, seen map[string]hcl.Range) []policy.SettingRule {
	var out []policy.SettingRule
	for _, p := range d.pairs(attr, `{ "app.caller" = cert.spiffe }`) {
		seen["session.settings."+p.name] = p.at
		if _, ok := d.check("A setting", p.value, cty.String); ok {
			out = append(out, policy.SettingRule{Name: p.name, Value: expr{p.value, d.functions}})
		}
	}
	return out
}
