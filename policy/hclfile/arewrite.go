package hclfile

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// areWriter writes an expression as RE2 that covers exactly the values that PostgreSQL's search
// finds a match in.
type areWriter struct {
	out  strings.Builder
	keep int // the capture to keep; others only group
}

// re2 is the expression in the form of `match`, without its leading slash. keep is the capture
// that the role uses, 0 for none.
func (re *are) re2(keep int) (string, error) {
	w := &areWriter{keep: keep}
	if re.foldCase {
		w.out.WriteString("(?i)")
	}
	w.whole(re.root)
	text := w.out.String()
	if _, err := regexp.Compile(text); err != nil {
		return "", areUnsupported("RE2: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return text, nil
}

// open says whether text may come before or behind what a branch matches.
func (re *are) open() bool {
	for _, b := range branches(re.root) {
		if !begins(b) || !ends(b) {
			return true
		}
	}
	return false
}

func branches(n *areNode) []*areNode {
	if n.op == areAlternate {
		return n.subs
	}
	return []*areNode{n}
}

func begins(n *areNode) bool {
	return n.op == areBegin || n.op == areConcat && n.subs[0].op == areBegin
}

func ends(n *areNode) bool {
	return n.op == areEnd || n.op == areConcat && n.subs[len(n.subs)-1].op == areEnd
}

// whole writes each branch of a search with `.*` at its open ends (T4). The first is lazy where a
// capture counts: the search takes the leftmost match.
func (w *areWriter) whole(n *areNode) {
	list := branches(n)
	for i, b := range list {
		if i > 0 {
			w.out.WriteByte('|')
		}
		if !begins(b) {
			w.out.WriteString(".*")
			if w.keep > 0 {
				w.out.WriteByte('?')
			}
		}
		w.node(b, 1)
		if !ends(b) {
			w.out.WriteString(".*")
		}
	}
}

// node writes n. within is what surrounds it: 0 nothing, 1 a sequence, 2 a quantifier.
func (w *areWriter) node(n *areNode, within int) {
	switch n.op {
	case areEmpty:
		if within > 0 {
			w.out.WriteString("(?:)")
		}
	case areLiteral:
		w.out.WriteString(literalChar(n.text))
	case areAny:
		w.out.WriteByte('.')
	case areClass:
		w.out.WriteString(n.text)
	case areBegin:
		w.out.WriteByte('^')
	case areEnd:
		w.out.WriteByte('$')
	case areConcat:
		w.bracketed(within == 2, func() {
			for _, sub := range n.subs {
				w.node(sub, 1)
			}
		})
	case areAlternate:
		w.bracketed(within > 0, func() { w.alternate(n) })
	case areRepeat:
		w.bracketed(within == 2, func() { w.repeat(n) })
	case areCapture:
		w.capture(n, within)
	}
}

func (w *areWriter) bracketed(yes bool, write func()) {
	if yes {
		w.out.WriteString("(?:")
	}
	write()
	if yes {
		w.out.WriteByte(')')
	}
}

func (w *areWriter) alternate(n *areNode) {
	for i, sub := range n.subs {
		if i > 0 {
			w.out.WriteByte('|')
		}
		w.node(sub, 0)
	}
}

func (w *areWriter) repeat(n *areNode) {
	w.node(n.subs[0], 2)
	switch {
	case n.min == 0 && n.max == -1:
		w.out.WriteByte('*')
	case n.min == 1 && n.max == -1:
		w.out.WriteByte('+')
	case n.min == 0 && n.max == 1:
		w.out.WriteByte('?')
	case n.max == -1:
		fmt.Fprintf(&w.out, "{%d,}", n.min)
	case n.min == n.max:
		w.out.WriteString("{" + strconv.Itoa(n.min) + "}")
	default:
		fmt.Fprintf(&w.out, "{%d,%d}", n.min, n.max)
	}
	if n.lazy {
		w.out.WriteByte('?')
	}
}

// capture writes brackets that capture only where the role uses them: a map may have but one
// expression with captures, and \1 must be the one that is meant.
func (w *areWriter) capture(n *areNode, within int) {
	if n.group == w.keep {
		w.out.WriteByte('(')
		w.node(n.subs[0], 0)
		w.out.WriteByte(')')
		return
	}
	w.node(n.subs[0], within)
}
