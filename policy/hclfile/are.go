package hclfile

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An ARE is PostgreSQL's Advanced Regular Expression, as pg_ident.conf has it. It is read here into a
// tree that can be written as RE2; see areWriter. PostgreSQL reads bytes, RE2 runes: the tree holds
// nothing that would tell them apart, save for what are.doubts lists.
type are struct {
	root     *areNode
	groups   int      // captures
	foldCase bool     // (?i)
	doubts   []string // where values with non-ASCII may be read differently (T5)
}

type areOp uint8

const (
	areEmpty     areOp = iota
	areLiteral         // text: one character
	areAny             // a dot
	areClass           // text: an RE2 class
	areBegin           // ^
	areEnd             // $
	areConcat          // subs in turn
	areAlternate       // one of subs
	areRepeat          // subs[0], min to max times
	areCapture         // subs[0], as capture group
)

// areNode is a part of an expression.
type areNode struct {
	op       areOp
	text     string
	subs     []*areNode
	min, max int // areRepeat; max -1 is no limit
	lazy     bool
	group    int // areCapture, from 1
}

// areError says why an expression cannot be imported. PostgreSQL refuses an invalid one, and with
// it the whole file.
type areError struct {
	invalid bool
	reason  string
}

func (e *areError) Error() string { return e.reason }

func areInvalid(format string, args ...any) error {
	return &areError{invalid: true, reason: "PostgreSQL refuses this expression: " + fmt.Sprintf(format, args...)}
}

func areUnsupported(format string, args ...any) error {
	return &areError{reason: fmt.Sprintf(format, args...)}
}

// maxRepeat is the largest bound of a quantifier: DUPMAX in PostgreSQL's regguts.h.
const maxRepeat = 255

// parseARE reads an expression without its leading slash.
func parseARE(src string) (*are, error) {
	p := &areParser{src: src}
	if err := p.options(); err != nil {
		return nil, err
	}
	root, err := p.alternatives(0)
	switch {
	case err != nil:
		return nil, err
	case p.at < len(p.src):
		return nil, areInvalid("a bracket ) too many")
	}
	p.re.root = root
	return &p.re, nil
}

type areParser struct {
	src string
	at  int
	re  are
}

// doubt notes once that values with non-ASCII may be read differently.
func (p *areParser) doubt(what string) {
	for _, d := range p.re.doubts {
		if d == what {
			return
		}
	}
	p.re.doubts = append(p.re.doubts, what)
}

func (p *areParser) next(prefix string) bool {
	if strings.HasPrefix(p.src[p.at:], prefix) {
		p.at += len(prefix)
		return true
	}
	return false
}

// options reads what may only stand at the beginning: a director, embedded options.
func (p *areParser) options() error {
	if strings.HasPrefix(p.src, "***:") || strings.HasPrefix(p.src, "***=") {
		return areUnsupported("RE2 has no *** directors (T6)")
	}
	if len(p.src) < 3 || p.src[:2] != "(?" || !isLower(p.src[2]) {
		return nil
	}
	letters, _, ok := strings.Cut(p.src[2:], ")")
	if !ok {
		return areInvalid("its options do not end")
	}
	for _, c := range letters {
		switch c {
		case 'i':
			p.re.foldCase = true
			p.doubt("(?i)")
		case 'c':
			p.re.foldCase = false
		case 's', 't': // the defaults: a newline is nothing special, tight syntax
		case 'b', 'e', 'm', 'n', 'p', 'q', 'w', 'x':
			return areUnsupported("RE2 has no option (?%c) (T6)", c)
		default:
			return areInvalid("there is no option (?%c)", c)
		}
	}
	p.at = len("(?)") + len(letters)
	return nil
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }

// alternatives reads branches up to a closing bracket or the end. depth counts open brackets.
func (p *areParser) alternatives(depth int) (*areNode, error) {
	if depth > 50 {
		return nil, areUnsupported("its brackets are nested too deep")
	}
	var branches []*areNode
	for {
		b, err := p.branch(depth)
		if err != nil {
			return nil, err
		}
		branches = append(branches, b)
		if !p.next("|") {
			break
		}
	}
	if len(branches) == 1 {
		return branches[0], nil
	}
	return &areNode{op: areAlternate, subs: branches}, nil
}

// branch reads quantified atoms.
func (p *areParser) branch(depth int) (*areNode, error) {
	n := &areNode{op: areConcat}
	for p.at < len(p.src) && p.src[p.at] != '|' && (p.src[p.at] != ')' || depth == 0) {
		if p.src[p.at] == ')' {
			return nil, areInvalid("a bracket ) too many")
		}
		atom, err := p.atom(depth)
		if err != nil {
			return nil, err
		}
		if atom, err = p.quantified(atom); err != nil {
			return nil, err
		}
		n.subs = append(n.subs, atom)
	}
	switch len(n.subs) {
	case 0:
		return &areNode{op: areEmpty}, nil
	case 1:
		return n.subs[0], nil
	}
	return n, nil
}

// atom reads one atom or constraint.
func (p *areParser) atom(depth int) (*areNode, error) {
	c := p.src[p.at]
	switch c {
	case '(':
		return p.group(depth)
	case '[':
		return p.bracket()
	case '\\':
		return p.escape()
	case '*', '+', '?':
		return nil, areInvalid("nothing before %c to repeat", c)
	case '{':
		if p.at+1 < len(p.src) && isDigit(p.src[p.at+1]) {
			return nil, areInvalid("nothing before { to repeat")
		}
	case '.':
		p.at++
		p.doubt(".")
		return &areNode{op: areAny}, nil
	case '^':
		p.at++
		return &areNode{op: areBegin}, nil
	case '$':
		p.at++
		return &areNode{op: areEnd}, nil
	}
	r, size := utf8.DecodeRuneInString(p.src[p.at:])
	if r == utf8.RuneError && size == 1 {
		return nil, areUnsupported("it is not UTF-8")
	}
	if r >= utf8.RuneSelf && p.re.foldCase {
		return nil, areUnsupported("a letter that is not ASCII under (?i) (T5)")
	}
	p.at += size
	return &areNode{op: areLiteral, text: string(r)}, nil
}

// group reads what is in brackets.
func (p *areParser) group(depth int) (*areNode, error) {
	for _, look := range []string{"(?=", "(?!", "(?<=", "(?<!"} {
		if strings.HasPrefix(p.src[p.at:], look) {
			return nil, areUnsupported("RE2 has no look-around %s...) (T6)", look)
		}
	}
	capture := 0
	switch {
	case p.next("(?:"):
	case strings.HasPrefix(p.src[p.at:], "(?"):
		return nil, areInvalid("(? and no :, = or !")
	default:
		p.at++
		p.re.groups++
		capture = p.re.groups
	}
	inner, err := p.alternatives(depth + 1)
	if err != nil {
		return nil, err
	}
	if !p.next(")") {
		return nil, areInvalid("a bracket ( without its )")
	}
	if capture > 0 {
		return &areNode{op: areCapture, subs: []*areNode{inner}, group: capture}, nil
	}
	if inner.op == areBegin || inner.op == areEnd {
		return &areNode{op: areConcat, subs: []*areNode{inner}}, nil // ^ by itself cannot be repeated, (?:^) can
	}
	return inner, nil
}

// quantified reads the quantifier behind an atom, if there is one.
func (p *areParser) quantified(atom *areNode) (*areNode, error) {
	n := &areNode{op: areRepeat, subs: []*areNode{atom}, max: -1}
	switch {
	case p.next("*"):
	case p.next("+"):
		n.min = 1
	case p.next("?"):
		n.max = 1
	case p.at+1 < len(p.src) && p.src[p.at] == '{' && isDigit(p.src[p.at+1]):
		if err := p.bounds(n); err != nil {
			return nil, err
		}
	default:
		return atom, nil
	}
	n.lazy = p.next("?")
	switch {
	case p.at < len(p.src) && strings.IndexByte("*+?", p.src[p.at]) >= 0,
		p.at+1 < len(p.src) && p.src[p.at] == '{' && isDigit(p.src[p.at+1]):
		return nil, areInvalid("a quantifier behind another one")
	case atom.op == areBegin || atom.op == areEnd:
		return nil, areInvalid("^ or $ cannot be repeated")
	case atom.op == areLiteral && atom.text[0] >= utf8.RuneSelf:
		return nil, areUnsupported("PostgreSQL repeats only the last byte of %q (T5)", atom.text)
	}
	return n, nil
}

// bounds reads {m}, {m,} and {m,n}.
func (p *areParser) bounds(n *areNode) error {
	text, _, ok := strings.Cut(p.src[p.at+1:], "}")
	if !ok {
		return areInvalid("a brace { without its }")
	}
	p.at += len(text) + 2
	low, high, isRange := strings.Cut(text, ",")
	var err error
	if n.min, err = bound(low); err != nil {
		return err
	}
	switch {
	case !isRange:
		n.max = n.min
	case high != "":
		if n.max, err = bound(high); err != nil {
			return err
		}
		if n.max < n.min {
			return areInvalid("{%s} ends before it begins", text)
		}
	}
	return nil
}

func bound(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n > maxRepeat {
		return 0, areInvalid("{%s} is not a count from 0 to %d", s, maxRepeat)
	}
	return int(n), nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
