package relay

import (
	"errors"
	"sync"
	"time"
)

// watch follows what the client asks for and what becomes of it, for an Observer. It keeps its own
// account of names: in both pool modes, by the client's names, as the server has confirmed them.
//
// A read's messages are scanned before they are planned, each request that matters becoming an
// entry; the plan gives the entries the places of their tokens in the ledger; and each reply finds
// its entry by that place.
type watch struct {
	// Fixed at creation.
	to     Observer
	detail Detail
	gate   bool

	// Owned by the client's half.
	scanned bool         // the bytes at hand have been scanned
	ready   []*entry     // scanned
	planned int          // so many of ready have been planned
	starts  []*Statement // for Start
	now     int64        // when what is planned is sent

	// Guarded by the server's mu.
	held  bool // there was something in done, or alone, when last seen
	syncs int  // Syncs on their way

	// mu guards all below. flight and what its entries hold are written with the server's mu held,
	// too, so that its holder may read them without mu.
	mu        sync.Mutex
	flight    entries
	done      []*entry // their outcome is known, but for the transaction state
	tx        transaction
	timer     *time.Timer // of late; nil: there was none yet
	armed     bool        // it runs
	free      []*entry
	freeBound []*binding
	confirmed names // as the server has them
	expected  names // as they will be once all that was scanned has succeeded
	ids       uint64
	tag       string // of the last CommandComplete
	stream    stream
	alone     int    // portals whose Bind was not told of, and which were not executed
	copyIn    int64  // bytes of COPY data since the last statement
	doubt     bool   // replies cannot be told apart just now
	fatal     string // SQLSTATE and text of the server's last words
	fatalText string
}

func newWatch(cfg *Config) *watch {
	if cfg.Observer == nil || cfg.Detail == DetailNone {
		return nil
	}
	return &watch{to: cfg.Observer, detail: cfg.Detail, gate: cfg.Gate}
}

// begin says that bytes have been read that were not scanned. Like all methods that the relay itself
// calls, it does nothing on a nil watch.
func (w *watch) begin() {
	if w != nil {
		w.scanned = false
	}
}

// due says whether the bytes at hand are to be scanned.
func (w *watch) due() bool { return w != nil && !w.scanned }

// sending says when what is planned next is sent.
func (w *watch) sending(now time.Time) {
	if w != nil {
		w.now = clockOf(now)
	}
}

// refused says that what was scanned cannot be sent.
func (w *watch) refused(cause error) {
	if w == nil {
		return
	}
	if e, ok := errors.AsType[shown](cause); ok {
		w.abandon(e.SQLState(), e.Public(), true)
	}
}

// entry is a request of the client's on its way.
type entry struct {
	Statement
	seq   uint64   // of its token
	from  int64    // when it arrived, and then when it was sent; Unix nanoseconds
	text  prep     // of Parse, Bind and Execute
	bound *binding // of Bind and Execute
	tag   [1]string
	copy  copying
	whole bool // of Close: the name is a statement's
}

// copying is a COPY under way.
type copying struct {
	state   copyState
	binary  bool
	columns int
	rows    int64
	bytes   int64
	from    int64
}

// prep is a prepared statement as its Parse has it.
type prep struct {
	ok    bool
	name  string
	tail  string // text, NUL, types
	cut   int    // length of the text in tail
	whole int64  // length of the whole text when tail ends early
	sha   string
	doubt bool // the name may mean another statement by now
	epoch uint // of the names it is among, when it came
}

// binding is a portal as its Bind has it. It is shared by all that refer to it.
type binding struct {
	refs     int
	name     string
	stmt     string
	text     prep
	nparams  int
	params   []Value
	bytes    int64
	doubt    bool // of the portal's name, as in prep
	started  bool // Start was told of the Bind
	executed bool
	alone    bool // nobody was told of the Bind: it is to be told when the portal is never executed
	id       uint64
	queue    time.Duration
	conn     uint64
	pid      uint32
	code     string // the Bind has failed
	message  string
}

// names are statements and portals by name; the unnamed ones, which are the most, stand apart.
type names struct {
	unnamed  prep
	hasStmt  bool // unnamed is set, if only to say that there is none
	stmts    map[string]prep
	epoch    uint // what stmts had in earlier ones is in doubt
	bytes    int  // of texts in stmts
	portal   *binding
	hasPort  bool
	portals  map[string]*binding
	overlaid bool
}

func (n *names) statement(name []byte) (prep, bool) {
	if len(name) == 0 {
		return n.unnamed, n.hasStmt
	}
	p, ok := n.stmts[string(name)]
	p.doubt = p.doubt || p.epoch < n.epoch
	return p, ok
}

func (n *names) setStatement(name string, p prep) {
	if n.overlaid = true; name == "" {
		n.unnamed, n.hasStmt = p, true
		return
	}
	if n.stmts == nil {
		n.stmts = make(map[string]prep)
	}
	n.bytes += len(p.tail) - len(n.stmts[name].tail)
	p.epoch = n.epoch
	n.stmts[name] = p
}

func (n *names) bound(portal []byte) (*binding, bool) {
	if len(portal) == 0 {
		return n.portal, n.hasPort
	}
	b, ok := n.portals[string(portal)]
	return b, ok
}

// statement is what a name will mean to the server once it comes to what is sent now.
func (w *watch) statement(name []byte) prep {
	if p, ok := w.expected.statement(name); ok {
		return p
	}
	p, _ := w.confirmed.statement(name)
	return p
}

func (w *watch) portal(name []byte) *binding {
	if b, ok := w.expected.bound(name); ok {
		return b
	}
	b, _ := w.confirmed.bound(name)
	return b
}

// setPortal makes a portal's name mean b; nil: nothing. b is retained, what it replaces let go.
func (w *watch) setPortal(n *names, name string, b *binding) {
	if b != nil {
		b.refs++
	}
	n.overlaid = true
	if name == "" {
		old := n.portal
		n.portal, n.hasPort = b, true
		w.letGo(n, old)
		return
	}
	if n.portals == nil {
		n.portals = make(map[string]*binding)
	}
	old := n.portals[name]
	n.portals[name] = b
	if b == nil && n == &w.confirmed {
		delete(n.portals, name)
	}
	w.letGo(n, old)
}

// letGo gives up a reference of n's to a portal. One that the server had and never executed is told, since
// to plan a statement may be to run functions of its client's.
func (w *watch) letGo(n *names, b *binding) {
	if b == nil {
		return
	}
	if n == &w.confirmed {
		w.tellBound(b)
	}
	w.release(b)
}

// tellBound tells of a Bind that nothing came of, if b's is one and was not told before.
func (w *watch) tellBound(b *binding) {
	if !b.alone || b.executed {
		return
	}
	b.alone = false
	w.alone--
	e := entry{Statement: Statement{
		ID: b.id, Op: OpBind, SQLState: "00000", BytesIn: b.bytes, Queue: b.queue, Conn: b.conn, PID: b.pid,
	}, bound: b}
	w.number(&e)
	w.fill(&e)
	w.to.Done(&e.Statement)
}

// release gives up a reference to a portal.
func (w *watch) release(b *binding) {
	if b.refs--; b.refs > 0 {
		return
	}
	*b = binding{}
	if len(w.freeBound) < maxFree {
		w.freeBound = append(w.freeBound, b)
	}
}

// newBound returns a portal with one reference.
func (w *watch) newBound() *binding {
	n := len(w.freeBound)
	if n == 0 {
		return &binding{refs: 1}
	}
	b := w.freeBound[n-1]
	w.freeBound = w.freeBound[:n-1]
	b.refs = 1
	return b
}

// clearPortals ends all portals of n.
func (w *watch) clearPortals(n *names) {
	w.letGo(n, n.portal)
	n.portal, n.hasPort = nil, false
	for name, b := range n.portals {
		w.letGo(n, b)
		delete(n.portals, name)
	}
}

// settleNames forgets what was expected when nothing is on its way any more.
func (w *watch) settleNames() {
	if !w.expected.overlaid || w.flight.size > 0 || w.planned < len(w.ready) {
		return
	}
	w.clearPortals(&w.expected)
	w.expected.dropStatements()
	w.expected.unnamed, w.expected.hasStmt, w.expected.overlaid = prep{}, false, false
}

// take returns an entry to fill.
func (w *watch) take(op Op, at int64) *entry {
	var e *entry
	if n := len(w.free); n > 0 {
		e = w.free[n-1]
		w.free = w.free[:n-1]
	} else {
		e = new(entry)
	}
	e.Op, e.from = op, at
	return e
}

// maxFree is how many entries a session keeps for later.
const maxFree = 16

// drop gives an entry back.
func (w *watch) drop(e *entry) {
	if w.stream.e == e {
		w.stream.e = nil
	}
	if e.bound != nil {
		w.release(e.bound)
	}
	*e = entry{}
	if len(w.free) < maxFree {
		w.free = append(w.free, e)
	}
}

// number gives an entry its number, if it has none.
func (w *watch) number(e *entry) {
	if e.ID == 0 {
		w.ids++
		e.ID = w.ids
	}
}

// tell tells the observer of an entry's outcome and gives it back.
func (w *watch) tell(e *entry) {
	w.number(e)
	w.to.Done(&e.Statement)
	w.drop(e)
}

// entries is a queue that keeps its memory.
type entries struct {
	buf  []*entry
	from int
	size int
}

func (q *entries) at(i int) *entry { return q.buf[(q.from+i)%len(q.buf)] }

func (q *entries) head() *entry {
	if q.size == 0 {
		return nil
	}
	return q.buf[q.from]
}

func (q *entries) push(e *entry) {
	if q.size == len(q.buf) {
		next := make([]*entry, max(8, 2*len(q.buf)))
		for i := range q.size {
			next[i] = q.at(i)
		}
		q.buf, q.from = next, 0
	}
	q.buf[(q.from+q.size)%len(q.buf)] = e
	q.size++
}

func (q *entries) pop() *entry {
	e := q.buf[q.from]
	q.buf[q.from] = nil
	q.from = (q.from + 1) % len(q.buf)
	q.size--
	return e
}

func since(now, from int64) time.Duration { return time.Duration(max(0, now-from)) }
