package relay

import (
	"time"

	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// This file follows the transactions of a session, so that its record says which of its statements were
// rolled back: by an error that ends a batch or a text of several statements, by a commit that fails, by
// ROLLBACK, or by the end of the session. What is known comes from the server: command tags, errors, and
// the state in ReadyForQuery.

// transaction is the one that a session is in, or the batch of messages that is its own transaction until
// its Sync.
type transaction struct {
	first  uint64 // number of its first statement; 0: none yet
	block  bool   // it began with BEGIN: nothing commits a part of it
	vague  bool   // a part of it may be committed: by CALL, DO and their like, or in a text of several statements
	failed bool   // there was an error since the last ReadyForQuery

	// Of the statements told of before their ReadyForQuery; conn is 0 when there are none.
	conn uint64
	pid  uint32
	code string // of the commit that has failed, with none of the batch's statements left to tell it
	text string
}

// ran takes in what e, which has run, means to its transaction. A COMMIT or ROLLBACK that is a part of a text
// of several statements leaves the rest of that text to the next transaction.
func (w *watch) ran(e *entry) {
	if !e.runs() {
		return
	}
	if w.tx.first == 0 {
		w.tx.first = e.ID
	}
	for i, tag := range e.Tags {
		switch rest := i+1 < len(e.Tags) || e.NTags > 0 || e.SQLState != "00000"; tag {
		case "BEGIN", "START TRANSACTION":
			w.tx.block = true
		case "COMMIT", "PREPARE TRANSACTION":
			w.tx.end(e, rest)
		case "ROLLBACK":
			w.rollback(e)
		default:
			w.tx.vague = w.tx.vague || !w.tx.block && commitsItself(tag)
		}
	}
}

// runs says whether a statement is of the operations that run something.
func (e *entry) runs() bool { return e.Op == OpQuery || e.Op == OpExecute || e.Op == OpFunction }

// mayHaveRun is ran of an e of which nobody knows whether it has.
func (w *watch) mayHaveRun(e *entry) {
	if !e.runs() {
		return
	}
	w.number(e)
	if w.tx.vague = true; w.tx.first == 0 {
		w.tx.first = e.ID
	}
}

// end begins anew behind e, or with the rest of e.
func (t *transaction) end(e *entry, rest bool) {
	t.first, t.block, t.vague = 0, false, false
	if rest {
		t.first, t.vague = e.ID, true
	}
}

// rollback takes in a ROLLBACK of e's, or a COMMIT that was one. ROLLBACK TO a savepoint is for the reader of
// the texts.
func (w *watch) rollback(e *entry) {
	effects, lone := e.effects()
	switch {
	case !lone:
		w.tx.vague = true
		if w.undo(e); e.Undoes == 0 && e.SQLState == "00000" {
			e.Undoes, e.Perhaps = e.ID, true // of what stands in its own text
		}
	case effects.Has(sqllex.Rollback | sqllex.Commit | sqllex.PrepareTransaction):
		w.undo(e)
		w.tx.end(e, false)
	}
}

// commitsItself says whether a statement with that tag may commit what it has done, and what came before it
// in its batch, by itself when it runs outside a transaction block.
func commitsItself(tag string) bool {
	switch tag {
	case "CALL", "DO", "VACUUM", "CLUSTER", "REINDEX", "CREATE INDEX", "DROP INDEX", "ALTER TABLE", "DISCARD ALL",
		"CREATE DATABASE", "DROP DATABASE", "ALTER DATABASE", "CREATE TABLESPACE", "DROP TABLESPACE", "ALTER SYSTEM",
		"CREATE SUBSCRIPTION", "ALTER SUBSCRIPTION", "DROP SUBSCRIPTION":
		return true
	}
	return false
}

// undo notes in e that the transaction so far was rolled back, and in those of it that nobody was told of yet.
func (w *watch) undo(e *entry) {
	t := &w.tx
	if t.first == 0 || t.first >= e.ID {
		return
	}
	e.Undoes, e.Perhaps = t.first, t.vague
	for _, d := range w.done {
		if d != e && d.runs() && d.ID >= t.first && d.SQLState == "00000" {
			d.Undone = !t.vague
		}
	}
}

// settled draws the conclusions at a ReadyForQuery, before those who wait for it are told of.
func (w *watch) settled(status byte) {
	t := &w.tx
	failed, n := t.failed && status == 'I' && t.first != 0, len(w.done)
	switch {
	case failed && n > 0 && w.done[n-1].SQLState != "00000":
		last := w.done[n-1]
		effects, lone := last.effects()
		t.vague = t.vague || !t.block && last.runs() && last.Text != "" && (!lone || effects.Has(sqllex.Dirty|sqllex.Opaque)) // CALL and its like
		w.undo(last)
	case failed, n == 0 && t.conn != 0:
		w.batchEnds(failed)
	}
	if t.block = status != 'I'; !t.block {
		t.first, t.vague = 0, false
	}
	t.failed, t.conn, t.code, t.text = false, 0, "", ""
}

// batchEnds makes a record of the end of a batch when none of its statements is left to carry it.
func (w *watch) batchEnds(failed bool) {
	e := w.take(OpSync, clockNow())
	e.SQLState, e.Message, e.Conn, e.PID = "00000", w.tx.text, w.tx.conn, w.tx.pid
	if w.tx.code != "" {
		e.SQLState = w.tx.code
	}
	w.number(e)
	if failed {
		w.undo(e)
	}
	w.done = append(w.done, e)
}

// unsettled says in the session's result what its last transaction, which nobody has seen end, leaves: it is
// rolled back, unless what is still on its way has committed it.
func (w *watch) unsettled(r *Result, sure bool) {
	r.Undoes, r.Perhaps = w.tx.first, w.tx.first != 0 && (w.tx.vague || !sure)
}

// holdLimit is how long a statement that is over waits for the ReadyForQuery of its batch before it is told
// of without the state of its transaction: a client may send Flush for hours and never Sync.
const holdLimit = time.Second

// pause is told that all that was read has been taken in. A ReadyForQuery comes with the end of its statement,
// as a rule; what waits for one gets a time limit. Called with the server's mu.
func (w *watch) pause() {
	if w == nil || !w.held {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for i := len(w.done) - 1; i >= 0 && w.done[i].At.IsZero(); i-- {
		w.done[i].At = now
	}
	w.arm(holdLimit)
}

// arm has late called after a time, if anything waits.
func (w *watch) arm(after time.Duration) {
	switch {
	case w.armed || len(w.done) == 0 && w.alone == 0:
		return
	case w.timer == nil:
		w.timer = time.AfterFunc(after, w.late)
	default:
		w.timer.Reset(after)
	}
	w.armed = true
}

// late tells of what has waited for its ReadyForQuery too long, and of portals that nobody executes.
func (w *watch) late() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	if w.alone > 0 {
		if w.confirmed.portal != nil {
			w.tellBound(w.confirmed.portal)
		}
		for _, b := range w.confirmed.portals {
			w.tellBound(b)
		}
	}
	due, n := time.Now().Add(-holdLimit), 0
	for n < len(w.done) && !w.done[n].At.IsZero() && !w.done[n].At.After(due) {
		n++
	}
	w.early(n)
	if len(w.done) > 0 && !w.done[0].At.IsZero() {
		w.arm(w.done[0].At.Sub(due))
	}
}

// early tells of the first n of those who wait for a ReadyForQuery.
func (w *watch) early(n int) {
	for i, e := range w.done[:n] {
		if e.At.IsZero() {
			e.At = time.Now()
		}
		e.Exec = since(clockOf(e.At), e.from)
		w.tx.conn, w.tx.pid = e.Conn, e.PID
		w.tell(e)
		w.done[i] = nil
	}
	left := copy(w.done, w.done[n:])
	clear(w.done[left:])
	w.done = w.done[:left]
}
