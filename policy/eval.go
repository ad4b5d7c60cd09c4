package policy

import (
	"fmt"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

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
