package relay

import "strings"

// This file bounds what the texts of a client's prepared statements cost: each is told with every execution.

// excerpt is how many bytes of a text are remembered that is one too many.
const excerpt = 1 << 10

// remember notes a statement that the server has prepared. Behind maxTexts bytes of them only the beginning of a
// text is kept, with its length; alone says that its Parse is to be told for the text's sake.
func (w *watch) remember(p prep) (alone bool) {
	w.confirmed.dropStatement(p.name)
	if p.name != "" && len(p.tail) > excerpt && w.confirmed.bytes+len(p.tail) > maxTexts {
		p, alone = p.shortened(), true
	}
	w.confirmed.setStatement(p.name, p)
	return alone
}

// shortened is p with an excerpt of its text. It has no hash: what stands behind the excerpt may have to be hidden,
// and could be tried offline.
func (p prep) shortened() prep {
	if p.sha = ""; p.whole == 0 {
		p.whole = int64(p.cut)
	}
	p.tail = strings.Clone(p.tail[:excerpt])
	p.cut = min(p.cut, excerpt)
	return p
}

// dropStatement forgets a name.
func (n *names) dropStatement(name string) {
	n.bytes -= len(n.stmts[name].tail)
	delete(n.stmts, name)
}

// dropStatements forgets all names.
func (n *names) dropStatements() {
	clear(n.stmts)
	n.bytes = 0
}
