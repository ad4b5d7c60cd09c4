package relay

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// Statements is every protocol-level prepared statement that clients in transaction mode know, each
// text once. A statement's name on servers is the broker's own: it is never used for another text,
// and holds a random part, so that no client can guess it (W33, W44). Safe for concurrent use.
type Statements struct {
	prefix     string
	deallocate *statement // what stands in for every DEALLOCATE of a client's name

	mu     sync.Mutex
	last   uint64
	byTail map[string]*statement
}

// NewStatements returns an empty set. One process has one.
func NewStatements() *Statements {
	var nonce [6]byte
	rand.Read(nonce[:])
	prefix := "_pgsignet_" + hex.EncodeToString(nonce[:]) + "_"
	return &Statements{
		prefix:     prefix,
		deallocate: newStatement(prefix+"deallocate", []byte(deallocateTaken+"\x00\x00\x00")),
		byTail:     make(map[string]*statement),
	}
}

// statement is one text with its parameter types.
type statement struct {
	name    string // on servers; "" for an unnamed statement
	tail    string // the body of Parse behind the name: text, NUL, parameter types
	effects sqllex.Effects
	refs    int // clients' names for it; guarded by Statements.mu
}

// text is the statement's SQL.
func (st *statement) text() string {
	sql, _, _ := strings.Cut(st.tail, "\x00")
	return sql
}

// get returns the statement with that Parse tail, counting a reference.
func (c *Statements) get(tail []byte) *statement {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.byTail[string(tail)]
	if st == nil {
		c.last++
		st = newStatement(c.prefix+strconv.FormatUint(c.last, 36), tail)
		c.byTail[st.tail] = st
	}
	st.refs++
	return st
}

// owns says whether a name is one that the broker has given to a statement on servers.
func (c *Statements) owns(name string) bool { return strings.HasPrefix(name, c.prefix) }

// put gives a reference back.
func (c *Statements) put(st *statement) {
	if st.tail == "" {
		return // of one client alone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.refs--; st.refs == 0 {
		delete(c.byTail, st.tail)
	}
}

func newStatement(name string, tail []byte) *statement {
	st := &statement{name: name, tail: string(tail)}
	st.effects = sqllex.Classify(st.text())
	return st
}

// appendParse appends the Parse message that prepares the statement.
func (st *statement) appendParse(dst []byte) []byte {
	return appendNamed(dst, pgwire.MsgParse, "", st.name, []byte(st.tail))
}

// appendNamed appends a message whose body is a kind byte or nothing, a name, and a rest.
func appendNamed(dst []byte, typ byte, kind, name string, rest []byte) []byte {
	dst = append(dst, typ)
	dst = appendUint32(dst, uint32(4+len(kind)+len(name)+1+len(rest)))
	dst = append(dst, kind...)
	dst = append(dst, name...)
	dst = append(dst, 0)
	return append(dst, rest...)
}

func appendUint32(dst []byte, v uint32) []byte {
	return append(dst, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// prepared is what one server connection has prepared. It is guarded by the connection's mu.
type prepared struct {
	limit int
	clock uint64
	known map[*statement]*onServer
	going map[*statement]uint64 // places of Closes that are not answered yet
	// unnamed is the unnamed statement that the server holds: nil is none, unknown any or none.
	unnamed   *statement
	unnamedAt uint64 // place in the server's ledger of the last request that concerned it
}

// unknown is an unnamed statement of which it is not known whose it is, or whether there is any: an
// error has cut off the requests that would have told.
var unknown = &statement{}

// onServer is a statement on one server.
type onServer struct {
	used  uint64 // clock of the last use
	at    uint64 // place in the server's ledger of the last request that concerned it
	ready bool   // the server has confirmed it
	print string // settings under which the server has read it: see Session.print
	stale bool   // whether it is there is not known, or its plan is of no use: close it first (W43)
}

// has says whether the statement can be bound as it is by a session with those settings, and marks
// it used. What a text means depends on settings at the time it is prepared: on search_path, and for
// its constants on DateStyle and the like. One whose Parse is not confirmed is there only for its own
// batch, which begins behind the Sync at that place: an earlier one may yet fail.
func (p *prepared) has(st *statement, print string, sync uint64) bool {
	on := p.known[st]
	if on == nil || on.stale || on.print != print || !on.ready && on.at <= sync {
		return false
	}
	p.clock++
	on.used = p.clock
	return true
}

// add notes a statement that has just been sent at that place.
func (p *prepared) add(st *statement, print string, at uint64) {
	if p.known == nil {
		p.known = make(map[*statement]*onServer)
	}
	p.clock++
	p.known[st] = &onServer{used: p.clock, print: print, at: at}
}

// confirm notes that the server has prepared the statement, unless later requests concern it.
func (p *prepared) confirm(st *statement, at uint64) {
	if on := p.known[st]; on != nil && on.at <= at {
		on.ready = true
	}
}

// remove forgets a statement that is closed by the request at that place.
func (p *prepared) remove(st *statement, at uint64) {
	delete(p.known, st)
	if p.going == nil {
		p.going = make(map[*statement]uint64)
	}
	p.going[st] = at
}

// removed notes that a Close at that place has been answered.
func (p *prepared) removed(st *statement, at uint64) {
	if p.going[st] <= at {
		delete(p.going, st)
	}
}

// mayStay says whether the server may hold a statement in spite of its Close, which was sent before the
// Sync at that place and is not answered: an error cancels it, but not what is sent now.
func (p *prepared) mayStay(st *statement, sync uint64) bool {
	at, going := p.going[st]
	return going && at <= sync
}

// undone notes that a request which concerned the statement has not been carried out, nor any up to
// that place: whether the server holds it is not known, unless the request was a Parse that failed.
func (p *prepared) undone(st *statement, failed bool, cut uint64) {
	p.removed(st, cut)
	on := p.known[st]
	switch {
	case on != nil && on.at > cut:
	case failed:
		delete(p.known, st)
	default:
		p.add(st, "", 0)
		p.known[st].stale, p.known[st].used = true, 0
	}
}

// spoilAll notes that all statements may be about to go.
func (p *prepared) spoilAll() {
	for st, on := range p.known {
		if st.tail != "" {
			on.stale, on.used = true, 0
		}
	}
	p.unnamed = unknown
}

// dropped notes a command after which a type may be gone; announceDropped tells of it at the end of its
// transaction. What was prepared with a parameter of that type fails from then on, also when there is another type of
// that name: a client that prepares the same text would be given what others have prepared before (W43).
// Tables are types, too, but hardly ever a parameter's, and often dropped. Both are called with mu.
func (s *Server) dropped(tag string) {
	switch tag {
	case "DROP TYPE", "DROP DOMAIN", "DROP EXTENSION", "DROP SCHEMA", "DROP OWNED",
		"CREATE TYPE", "CREATE DOMAIN", "CREATE EXTENSION", "CREATE SCHEMA": // a ROLLBACK drops them
		s.fewerTypes = true
	}
}

func (s *Server) announceDropped() {
	if s.fewerTypes {
		s.fewerTypes = false
		s.prepared.spoilAll()
		s.notice(Event{Kind: TypesDropped})
	}
}

// Reprepare has all statements prepared again before they are used.
func (s *Server) Reprepare() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prepared.spoilAll()
}

func (p *prepared) clear() {
	clear(p.known)
	clear(p.going)
	p.unnamed = nil
}

// victim returns the statement to close before another is prepared: nil while there is room, else a
// stale one or the one that was used least recently. What outstanding requests refer to is safe:
// the server takes messages in order (W39).
func (p *prepared) victim() *statement {
	if p.limit <= 0 || len(p.known) < p.limit {
		return nil
	}
	var oldest *statement
	for st, on := range p.known {
		if st.tail == "" {
			continue // it could not be prepared again
		}
		if oldest == nil || on.used < p.known[oldest].used {
			oldest = st
		}
	}
	return oldest
}
