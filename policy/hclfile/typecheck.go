package hclfile

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/zclconf/go-cty/cty"
)

// check evaluates an expression over unknown values: that finds names and types that are wrong.
// The result is only known when it is the same for every login.
func (d *decoder) check(name string, e hcl.Expression, ty cty.Type) (cty.Value, bool) {
	if !d.fieldsExist(e) || !d.operands(e) {
		return cty.NilVal, false
	}
	v, diags := e.Value(d.unknown)
	d.diags = append(d.diags, diags...)
	if diags.HasErrors() {
		return v, false
	}
	v, _ = v.UnmarkDeep()
	got := v.Type()
	switch {
	case v.IsNull():
		d.errorf(e.Range(), "Wrong type", "%s must not be null.", name)
		return v, false
	case got == ty, got == cty.DynamicPseudoType, ty == cty.String && got.IsPrimitiveType():
		return v, true
	}
	d.errorf(e.Range(), "Wrong type", "%s must be a %s, and this is a %s.%s", name, ty.FriendlyName(), got.FriendlyName(), regexHint(got))
	return v, false
}

// regexHint helps those who take regex for a question.
func regexHint(got cty.Type) string {
	if got == cty.String {
		return " Whether an expression matches is can(regex(...))."
	}
	return ""
}

// operands checks the sides of && and || by themselves: HCL does not report what is wrong with
// one of them while the other is unknown.
func (d *decoder) operands(e hcl.Expression) bool {
	sides := logical(e)
	if len(sides) == 1 {
		return true
	}
	ok := true
	for _, side := range sides {
		v, diags := side.Value(d.unknown)
		d.diags = append(d.diags, diags...)
		if diags.HasErrors() {
			ok = false
			continue
		}
		if ty := v.Type(); ty != cty.Bool && ty != cty.DynamicPseudoType {
			d.errorf(side.Range(), "Wrong type", "Both sides of && and || must be a bool, and this is a %s.%s", ty.FriendlyName(), regexHint(ty))
			ok = false
		}
	}
	return ok
}

// logical takes an expression apart at its && and ||.
func logical(e hcl.Expression) []hcl.Expression {
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return logical(e.Expression)
	case *hclsyntax.UnaryOpExpr:
		if e.Op == hclsyntax.OpLogicalNot {
			return logical(e.Val)
		}
	case *hclsyntax.BinaryOpExpr:
		if e.Op == hclsyntax.OpLogicalAnd || e.Op == hclsyntax.OpLogicalOr {
			return append(logical(e.LHS), logical(e.RHS)...)
		}
	}
	return []hcl.Expression{e}
}

// fieldsExist reports fields of cert, request and now that there are not, and lists those that
// there are. HCL only says that the field is unknown, and inside can() nothing at all.
func (d *decoder) fieldsExist(e hcl.Expression) bool {
	ok := true
	for _, t := range e.Variables() {
		ty, known := d.types[t.RootName()]
		if !known || len(t) < 2 {
			continue
		}
		step, isAttr := t[1].(hcl.TraverseAttr)
		if !isAttr || ty.HasAttribute(step.Name) {
			continue
		}
		var names []string
		for name := range ty.AttributeTypes() {
			names = append(names, name)
		}
		slices.Sort(names)
		d.errorf(step.SrcRange, "No such field", "%s has no %q. It has %s.%s", t.RootName(), step.Name, strings.Join(names, ", "), policy.Suggest(step.Name, names))
		ok = false
	}
	return ok
}
