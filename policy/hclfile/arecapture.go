package hclfile

import (
	"regexp/syntax"
	"slices"
	"unicode"
)

// checkCapture says why \1 cannot be imported, nil if it is the same text in both engines. A
// POSIX engine takes the longest match, Go's the first that it finds, so they part where there
// is a choice (T7).
func (re *are) checkCapture() error {
	if re.groups == 0 {
		return areUnsupported(`\1 without brackets in the expression: PostgreSQL refuses the login and reads no further (T8)`)
	}
	path := findCapture(re.root, nil)
	capture := path[len(path)-1]
	switch {
	case slices.ContainsFunc(path[:len(path)-1], func(n *areNode) bool { return n.op == areRepeat || n.op == areAlternate }):
		return areUnsupported(`\1 may take no part: its brackets stand in an alternation or are repeated (T7, T8)`)
	case holdsChoice(capture.subs[0]):
		return areUnsupported(`\1 holds an alternation or an optional part: PostgreSQL takes the longest, RE2 the first (T7)`)
	case slices.ContainsFunc(neighbours(path), isChoice):
		return areUnsupported(`\1 stands next to an alternation or an optional part: PostgreSQL takes the longest, RE2 the first (T7)`)
	case plainSequence(re.root):
		return nil
	}
	return re.checkUnique()
}

// findCapture returns the nodes from n down to capture 1, nil when it is not below n.
func findCapture(n *areNode, path []*areNode) []*areNode {
	path = append(slices.Clip(path), n)
	if n.op == areCapture && n.group == 1 {
		return path
	}
	for _, sub := range n.subs {
		if found := findCapture(sub, path); found != nil {
			return found
		}
	}
	return nil
}

// isChoice reports an alternation, or a part that may be left out. A single character repeated
// any number of times is none: both engines take as many as they can.
func isChoice(n *areNode) bool {
	switch n.op {
	case areAlternate:
		return true
	case areRepeat:
		return n.min == 0 && (n.max == 1 || len(n.subs[0].subs) > 0) || isChoice(n.subs[0])
	case areCapture:
		return isChoice(n.subs[0])
	}
	return false
}

func holdsChoice(n *areNode) bool {
	return isChoice(n) || slices.ContainsFunc(n.subs, holdsChoice)
}

// neighbours lists what comes right before and behind the end of path, in any sequence on it.
func neighbours(path []*areNode) []*areNode {
	var out []*areNode
	for i, n := range path[:len(path)-1] {
		if n.op != areConcat {
			continue
		}
		at := slices.Index(n.subs, path[i+1])
		if at > 0 {
			out = append(out, n.subs[at-1])
		}
		if at+1 < len(n.subs) {
			out = append(out, n.subs[at+1])
		}
	}
	return out
}

// plainSequence reports an expression of single characters, each repeated greedily or not at
// all. Both engines then match from left to right as much as they can.
func plainSequence(n *areNode) bool {
	switch n.op {
	case areAlternate:
		return false
	case areRepeat:
		return !n.lazy && len(n.subs[0].subs) == 0
	}
	return !slices.ContainsFunc(n.subs, func(sub *areNode) bool { return !plainSequence(sub) })
}

// maxPairs bounds the search of checkUnique.
const maxPairs = 1 << 18

// checkUnique accepts the expression when every value leaves one choice only for \1: then no two
// engines can differ. It runs the compiled expression twice over the same, unknown value and
// looks for two runs that match and differ in what they capture.
func (re *are) checkUnique() error {
	text, err := re.re2(1)
	if err != nil {
		return err
	}
	tree, err := syntax.Parse(`\A(?:`+text+`)\z`, syntax.Perl)
	if err != nil {
		return areUnsupported("RE2: %v", err)
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return areUnsupported("RE2: %v", err)
	}
	if twins := (&twinRuns{prog: prog, seen: map[twin]bool{}}); twins.differ() {
		return areUnsupported(`\1 depends on which alternative is tried first: PostgreSQL takes the longest, RE2 the first (T7)`)
	}
	return nil
}

// run is where one run of an expression stands: at an instruction that reads a character or
// ends, before (0), inside (1) or behind (2) the capture.
type run struct {
	pc    uint32
	mark  uint8
	ended bool // it passed $, and can read no more
}

// twin is two runs over the same text. parted: they have read a character with different marks.
type twin struct {
	a, b   run
	parted bool
}

// twinRuns searches all pairs of runs.
type twinRuns struct {
	prog *syntax.Prog
	seen map[twin]bool
	todo []twin
}

// differ reports that two runs may match and capture differently, or that there are too many to
// tell.
func (t *twinRuns) differ() bool {
	start := t.settle(run{pc: uint32(t.prog.Start)}, true)
	t.push(start, start, false)
	for len(t.todo) > 0 {
		if len(t.seen) > maxPairs {
			return true
		}
		w := t.todo[len(t.todo)-1]
		t.todo = t.todo[:len(t.todo)-1]
		a, b := &t.prog.Inst[w.a.pc], &t.prog.Inst[w.b.pc]
		if a.Op == syntax.InstMatch || b.Op == syntax.InstMatch {
			if a.Op == b.Op && (w.parted || w.a.mark != w.b.mark) {
				return true
			}
			continue
		}
		if w.a.ended || w.b.ended || !meet(a, b) {
			continue
		}
		t.push(t.settle(run{pc: a.Out, mark: w.a.mark}, false), t.settle(run{pc: b.Out, mark: w.b.mark}, false), w.parted || w.a.mark != w.b.mark)
	}
	return false
}

func (t *twinRuns) push(as, bs []run, parted bool) {
	for _, a := range as {
		for _, b := range bs {
			if w := (twin{a, b, parted}); !t.seen[w] {
				t.seen[w] = true
				t.todo = append(t.todo, w)
			}
		}
	}
}

// settle follows a run to every instruction that reads a character or ends.
func (t *twinRuns) settle(r run, start bool) []run {
	var out []run
	seen := map[run]bool{}
	var follow func(r run)
	follow = func(r run) {
		if seen[r] {
			return
		}
		seen[r] = true
		in := &t.prog.Inst[r.pc]
		next := r
		next.pc = in.Out
		switch in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			follow(next)
			next.pc = in.Arg
			follow(next)
		case syntax.InstNop:
			follow(next)
		case syntax.InstCapture:
			if in.Arg == 2 || in.Arg == 3 {
				next.mark = uint8(in.Arg - 1)
			}
			follow(next)
		case syntax.InstEmptyWidth:
			empty := syntax.EmptyOp(in.Arg)
			next.ended = r.ended || empty&syntax.EmptyEndText != 0
			if empty&syntax.EmptyBeginText == 0 || start {
				follow(next)
			}
		case syntax.InstFail:
		default:
			out = append(out, r)
		}
	}
	follow(r)
	return out
}

// meet reports that some character may be read by both instructions. It errs on yes.
func meet(a, b *syntax.Inst) bool {
	for _, pair := range [][2]*syntax.Inst{{a, b}, {b, a}} {
		for _, r := range samples(pair[0]) {
			if pair[0].MatchRune(r) && pair[1].MatchRune(r) {
				return true
			}
		}
	}
	return false
}

// samples lists characters of which one is in every intersection that the instruction has with
// another: the ends of its ranges, and their other cases.
func samples(in *syntax.Inst) []rune {
	if in.Op == syntax.InstRuneAny || in.Op == syntax.InstRuneAnyNotNL {
		return []rune{0, 'a', unicode.MaxRune}
	}
	out := slices.Clone(in.Rune)
	for _, r := range in.Rune {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			out = append(out, f)
		}
	}
	return out
}
