package hclfile

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// Functions are what `when` and `settings` may call. None reads a file, the environment or the
// clock. Each call returns a table with its own cache of regular expressions.
func Functions() map[string]function.Function {
	return map[string]function.Function{
		"lower":        stdlib.LowerFunc,
		"upper":        stdlib.UpperFunc,
		"trimprefix":   stdlib.TrimPrefixFunc,
		"trimsuffix":   stdlib.TrimSuffixFunc,
		"replace":      stdlib.ReplaceFunc,
		"regex":        regexFunction(),
		"contains":     stdlib.ContainsFunc,
		"startswith":   textTest("text", "prefix", strings.HasPrefix),
		"endswith":     textTest("text", "suffix", strings.HasSuffix),
		"split":        stdlib.SplitFunc,
		"join":         stdlib.JoinFunc,
		"length":       lengthFunction(),
		"can":          tryfunc.CanFunc,
		"try":          tryfunc.TryFunc,
		"cidrcontains": cidrContains(),
	}
}

// textTest is a function of two texts that answers yes or no.
func textTest(first, second string, test func(a, b string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: first, Type: cty.String}, {Name: second, Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(test(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

// lengthFunction counts the characters of a text or the elements of anything else.
func lengthFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowUnknown: true}},
		Type: func(args []cty.Value) (cty.Type, error) {
			ty := args[0].Type()
			if ty == cty.String || ty == cty.DynamicPseudoType || ty.IsCollectionType() || ty.IsTupleType() {
				return cty.Number, nil
			}
			return cty.NilType, function.NewArgErrorf(0, "a %s has no length", ty.FriendlyName())
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			switch {
			case args[0].Type() == cty.String:
				return stdlib.Strlen(args[0])
			case args[0].Type() == cty.DynamicPseudoType:
				return cty.UnknownVal(cty.Number), nil
			}
			return args[0].Length(), nil
		},
	})
}

// cidrContains is cidrcontains(cidr, address).
func cidrContains() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "cidr", Type: cty.String}, {Name: "address", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			outer, err := policy.ParsePrefix(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "%q is %s", args[0].AsString(), err)
			}
			inner, err := policy.ParsePrefix(args[1].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(1, "%q is %s", args[1].AsString(), err)
			}
			return cty.BoolVal(outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())), nil
		},
	})
}

// errNoMatch is what can() turns into false.
var errNoMatch = fmt.Errorf("the expression does not match; can(regex(...)) asks whether it does")
