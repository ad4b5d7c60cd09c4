package policy

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// pattern is one expression on one field. Rules that write the same share it, so that a
// decision runs it once.
type pattern struct {
	id     int // index of its result in a decision
	field  fieldRef
	source string // without the leading slash
	groups int    // captures

	re             *regexp.Regexp // covers the whole value
	prefix, suffix string         // every value that fits begins and ends so
	asciiOnly      bool           // (?i) in a map: a value with non-ASCII never fits (T5)
}

// isPattern says whether a value in `match` is an expression.
func isPattern(value string) bool { return strings.HasPrefix(value, "/") }

// compilePattern compiles an RE2 expression so that it covers the whole value. The expression
// must be sound by itself: `a)|(b` is refused, although brackets around it would mend it.
func compilePattern(source string) (*pattern, error) {
	tree, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	re, err := regexp.Compile(anchored(source, tree))
	if err != nil {
		return nil, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	p := &pattern{source: source, re: re, groups: re.NumSubexp()}
	p.prefix, p.suffix = fixedEnds(tree)
	return p, nil
}

// anchored wraps an expression so that it must cover the whole value. An unclosed \Q would
// quote the end of the wrapping, so then the parsed form is written out.
func anchored(source string, tree *syntax.Regexp) string {
	if strings.Contains(source, `\Q`) {
		source = tree.String()
	}
	return `\A(?:` + source + `)\z`
}

// fits reports whether the expression covers v.
func (p *pattern) fits(v string) bool {
	if len(v) < len(p.prefix)+len(p.suffix) || !strings.HasPrefix(v, p.prefix) || !strings.HasSuffix(v, p.suffix) {
		return false
	}
	if p.asciiOnly && !isASCII(v) {
		return false
	}
	return p.re.MatchString(v)
}

// fixedEnds returns literals that begin and end every text the expression covers: a cheap test
// that spares most values the expression itself. They never overlap.
func fixedEnds(tree *syntax.Regexp) (prefix, suffix string) {
	parts := flatten(tree.Simplify(), nil)
	i := 0
	for ; i < len(parts) && isLiteral(parts[i]); i++ {
		prefix += string(parts[i].Rune)
	}
	j := len(parts)
	for ; j > i && isLiteral(parts[j-1]); j-- {
		suffix = string(parts[j-1].Rune) + suffix
	}
	return prefix, suffix
}

// flatten lists what an expression demands in turn. Assertions that match no text are left out.
func flatten(re *syntax.Regexp, parts []*syntax.Regexp) []*syntax.Regexp {
	switch re.Op {
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			parts = flatten(sub, parts)
		}
		return parts
	case syntax.OpCapture:
		return flatten(re.Sub[0], parts)
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpEndText:
		return parts
	}
	return append(parts, re)
}

// isLiteral reports text that can be compared byte for byte. U+FFFD is not: RE2 reads invalid
// UTF-8 as that rune.
func isLiteral(re *syntax.Regexp) bool {
	return re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase == 0 &&
		!strings.ContainsRune(string(re.Rune), '\uFFFD')
}

// foldsCase reports whether any part of the expression ignores case. It asks the source, not
// only the tree, which drops the flag where a literal has no case.
func foldsCase(source string) bool {
	tree, err := syntax.Parse(source, syntax.Perl)
	return err == nil && (treeFolds(tree) || flagI.MatchString(source))
}

// flagI finds (?i) and (?i: also among other flags.
var flagI = regexp.MustCompile(`\(\?[a-zA-Z]*i[a-zA-Z]*(?:-[a-zA-Z]*)?[:)]`)

func treeFolds(re *syntax.Regexp) bool {
	if re.Flags&syntax.FoldCase != 0 {
		return true
	}
	for _, sub := range re.Sub {
		if treeFolds(sub) {
			return true
		}
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
