package hclfile

import (
	"regexp"
	"slices"
	"sync"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// maxCached is how many expressions a table of functions remembers. More come only from
// patterns made of a login's values, and those are compiled each time.
const maxCached = 1024

// regexCache compiles each regular expression once. It is safe for concurrent use.
type regexCache struct {
	mu   sync.RWMutex
	byID map[string]*regexp.Regexp
}

func (c *regexCache) compile(pattern string) (*regexp.Regexp, error) {
	c.mu.RLock()
	re := c.byID[pattern]
	c.mu.RUnlock()
	if re != nil {
		return re, nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, function.NewArgErrorf(0, "%v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byID) < maxCached {
		c.byID[pattern] = re
	}
	return re, nil
}

// regexFunction is regex(pattern, text) as Terraform has it: the text that matched; a list of
// the captures, where there are any; an object of them when all have names. No match is an error.
func regexFunction() function.Function {
	cache := &regexCache{byID: map[string]*regexp.Regexp{}}
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "pattern", Type: cty.String}, {Name: "text", Type: cty.String}},
		Type: func(args []cty.Value) (cty.Type, error) {
			if !args[0].IsKnown() {
				return cty.DynamicPseudoType, nil
			}
			re, err := cache.compile(args[0].AsString())
			if err != nil {
				return cty.NilType, err
			}
			return regexType(re)
		},
		Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
			re, err := cache.compile(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			text := args[1].AsString()
			loc := re.FindStringSubmatchIndex(text)
			if loc == nil {
				return cty.NilVal, errNoMatch
			}
			return regexResult(re, text, loc, ty), nil
		},
	})
}

// regexType is the type of what an expression yields.
func regexType(re *regexp.Regexp) (cty.Type, error) {
	names := re.SubexpNames()[1:]
	unnamed := slices.Contains(names, "")
	switch {
	case len(names) == 0:
		return cty.String, nil
	case unnamed && slices.ContainsFunc(names, func(n string) bool { return n != "" }):
		return cty.NilType, function.NewArgErrorf(0, "name all captures or none")
	case unnamed:
		return cty.Tuple(slices.Repeat([]cty.Type{cty.String}, len(names))), nil
	}
	attrs := map[string]cty.Type{}
	for _, n := range names {
		attrs[n] = cty.String
	}
	return cty.Object(attrs), nil
}

// regexResult is what a match yields. A capture that took no part is null.
func regexResult(re *regexp.Regexp, text string, loc []int, ty cty.Type) cty.Value {
	part := func(i int) cty.Value {
		if loc[2*i] < 0 {
			return cty.NullVal(cty.String)
		}
		return cty.StringVal(text[loc[2*i]:loc[2*i+1]])
	}
	switch {
	case ty.IsTupleType():
		vals := make([]cty.Value, re.NumSubexp())
		for i := range vals {
			vals[i] = part(i + 1)
		}
		return cty.TupleVal(vals)
	case ty.IsObjectType():
		vals := map[string]cty.Value{}
		for i, name := range re.SubexpNames()[1:] {
			vals[name] = part(i + 1)
		}
		return cty.ObjectVal(vals)
	}
	return part(0)
}
