package audit

import (
	"time"
	"unsafe"
)

// Refs are what every record of a session's statements repeats of it, so that a search needs no join.
// They belong to one Log and do not change once it has seen them.
type Refs struct {
	SID string // UUIDv7 of the session, lower case
	// Of the session's certificate, its map, and what it was granted.
	CertSHA256, Map, Role, Database string

	text []byte // as they stand in a line; owned by the writer
}

// Ran is a statement for AppendStatement and SubmitStatements.
type Ran struct {
	Time time.Time // when its outcome was known; zero is set to now
	Conn uint64    // Upstream.Conn and PID; 0: none
	PID  uint32
	Stmt
}

// entry is a record in the queue.
type entry struct {
	rec    *Record // nil: the statement at slot
	slot   int
	waited bool // dropped when it cannot be written: its caller was told
	weight int  // what it adds to bytes
}

// slot is a statement that waits. It is a copy of the caller's in memory that the queue keeps, so that a
// statement costs no allocation, and nobody but the queue's owner ever holds a pointer to it.
type slot struct {
	ran  Ran
	refs *Refs
	tag  [1]string
}

// queue is records that wait for the writer, in order. Whoever holds it owns it: the Log under its lock,
// and the writer what it has taken.
type queue struct {
	entries []entry
	slots   []slot
	bytes   int                // of text and values
	shares  map[string]share   // by certificate, of statements; nil: not counted yet
	texts   map[*byte]struct{} // long texts in it: many records of one prepared statement hold its text once
}

// longText is how long a text is, in bytes, that is looked for in what was queued and encoded before: a client may
// have it run again and again by messages of twenty bytes.
const longText = 4 << 10

// cost is what a record of s would add to bytes.
func (q *queue) cost(s *Stmt) int {
	n := s.weight()
	if len(s.Text) > longText {
		if _, held := q.texts[unsafe.StringData(s.Text)]; held {
			n -= len(s.Text)
		}
	}
	return n
}

// holds notes that s's text is in the queue.
func (q *queue) holds(s *Stmt) {
	if len(s.Text) <= longText {
		return
	}
	if q.texts == nil {
		q.texts = make(map[*byte]struct{})
	}
	q.texts[unsafe.StringData(s.Text)] = struct{}{}
}

// keepSlots is how many slots a queue keeps when it is emptied: what is more was a stall's.
const keepSlots = 1024

// add appends a copy of r.
func (q *queue) add(r *Record, waited bool) {
	own := *r
	if own.Time.IsZero() {
		own.Time = time.Now()
	}
	weight := own.weight()
	q.entries = append(q.entries, entry{rec: &own, waited: waited, weight: weight})
	q.bytes += weight
}

// addStatement appends a copy of s.
func (q *queue) addStatement(refs *Refs, s *Ran, waited bool) {
	cost := q.cost(&s.Stmt)
	q.holds(&s.Stmt)
	q.bytes += cost
	if q.shares != nil {
		q.shared(refs, cost)
	}
	q.entries = append(q.entries, entry{slot: len(q.slots), waited: waited, weight: cost})
	q.slots = append(q.slots, slot{ran: *s, refs: refs})
	to := &q.slots[len(q.slots)-1]
	switch len(s.Tags) {
	case 0:
	case 1:
		to.tag[0], to.ran.Tags = s.Tags[0], nil
	default:
		to.ran.Tags = append([]string(nil), s.Tags...)
	}
}

// record is the record of e. That of a statement is made in scratch and valid until the next call.
func (q *queue) record(e *entry, scratch *scratch) *Record {
	if e.rec != nil {
		return e.rec
	}
	s := &q.slots[e.slot]
	if s.tag[0] != "" {
		s.ran.Tags = s.tag[:]
	}
	r := &scratch.rec
	r.Time, r.refs, r.Stmt, r.Upstream = s.ran.Time, s.refs, &s.ran.Stmt, nil
	if s.ran.Conn != 0 {
		scratch.upstream.Conn, scratch.upstream.PID = s.ran.Conn, s.ran.PID
		r.Upstream = &scratch.upstream
	}
	return r
}

// scratch is the record of one statement at a time.
type scratch struct {
	rec      Record // but for what record sets, the same for all
	upstream Upstream
}

func newScratch() scratch { return scratch{rec: Record{Event: Statement}} }

// refuse drops the entries whose callers are told so, and returns how many.
func (q *queue) refuse() (n uint64) {
	kept := q.entries[:0]
	for i := range q.entries {
		if e := &q.entries[i]; e.waited {
			q.bytes -= e.weight
			n++
		} else {
			kept = append(kept, *e)
		}
	}
	clear(q.entries[len(kept):])
	q.entries = kept
	return n
}

// waited is how many entries have a caller that waits.
func (q *queue) waited() (n uint64) {
	for i := range q.entries {
		if q.entries[i].waited {
			n++
		}
	}
	return n
}

// reset empties the queue and keeps its memory, unless that was a stall's: what its records point to is
// let go.
func (q *queue) reset() {
	clear(q.entries)
	clear(q.slots)
	q.shares, q.texts = nil, nil
	if cap(q.slots) > 4*keepSlots && len(q.slots) < keepSlots {
		q.entries, q.slots = nil, nil
	}
	q.entries, q.slots, q.bytes = q.entries[:0], q.slots[:0], 0
}

// weight is what r's statement keeps in memory while it waits, in bytes.
func (r *Record) weight() int {
	if r.Stmt == nil {
		return 0
	}
	return r.Stmt.weight()
}

func (s *Stmt) weight() int {
	n := len(s.Text) + len(s.Message)
	for i := range s.Params {
		n += len(s.Params[i].Bytes)
	}
	return n
}
