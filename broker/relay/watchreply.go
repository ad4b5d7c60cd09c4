package relay

import (
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// sent gives the entry of the message that has just been planned its place in the ledger. seq is that
// of the client's last token, before what it was before the message: the same when the server will
// not answer it. Called with the server's mu.
func (w *watch) sent(server *Server, typ byte, before uint64) {
	if w == nil {
		return
	}
	switch typ {
	case pgwire.MsgQuery, pgwire.MsgParse, pgwire.MsgBind, pgwire.MsgExecute, pgwire.MsgClose, pgwire.MsgFunctionCall:
	case pgwire.MsgSync:
		w.syncs++
		return
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.ready[w.planned]
	w.ready[w.planned] = nil
	if w.planned++; w.planned == len(w.ready) {
		w.ready, w.planned = w.ready[:0], 0
	}
	e.Conn, e.PID = server.ID, server.PID
	e.Queue, e.from = since(w.now, e.from), w.now
	l := &server.ledger
	switch {
	case l.mine != before:
		e.seq = l.mine
		w.flight.push(e)
	case l.skip:
		w.skipped(e)
	default:
		w.unknown(e)
	}
	w.settleNames()
}

// reply finds the entry that a server's message answers and notes what it says. body is what the
// client reads, size the length of the whole message. Called with the server's mu.
func (w *watch) reply(typ, status byte, body []byte, head token, size int) {
	if w == nil {
		return
	}
	switch typ {
	case pgwire.MsgDataRow, pgwire.MsgCopyData:
		w.row(typ, head, size)
		return
	case pgwire.MsgRowDescription:
		if e := w.flight.head(); e != nil && e.seq == head.seq && !w.doubt {
			e.BytesOut += int64(size)
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if head.seq == 0 {
		w.inDoubt(typ, status)
		return
	}
	for e := w.flight.head(); e != nil && e.seq < head.seq; e = w.flight.head() {
		if w.flight.pop(); w.doubt {
			w.unknown(e)
		} else {
			w.skipped(e)
		}
	}
	w.doubt = false
	if e := w.flight.head(); e != nil && e.seq == head.seq {
		e.BytesOut += int64(size)
		w.answer(e, typ, body)
	} else if typ == pgwire.MsgErrorResponse {
		w.stray(body, head)
	}
	if typ == pgwire.MsgReadyForQuery {
		if head.kind == kindSync {
			w.syncs--
		}
		w.readyForQuery(status)
	}
	w.settleNames()
}

// rows counts DataRows that follow one, size their bytes.
func (w *watch) rows(head token, count, size int64) {
	if w == nil {
		return
	}
	if e := w.flight.head(); e != nil && e.seq == head.seq {
		e.BytesOut += size
		e.RowsOut += count
	}
}

// row counts a message of rows or COPY data. It is the path that may not cost anything.
func (w *watch) row(typ byte, head token, size int) {
	e := w.flight.head()
	if e == nil || e.seq != head.seq {
		return
	}
	e.BytesOut += int64(size)
	if typ == pgwire.MsgDataRow {
		e.RowsOut++
		return
	}
	e.copy.rows++
	e.copy.bytes += int64(size - headerSize)
}

// answer notes one message of the reply to e, the head of flight.
func (w *watch) answer(e *entry, typ byte, body []byte) {
	if e.bound != nil && e.Op == OpExecute {
		w.executed(e.bound)
	}
	switch typ {
	case pgwire.MsgErrorResponse:
		w.failed(e, body)
	case pgwire.MsgCommandComplete:
		w.complete(e, body)
		w.copyEnds(e, "00000")
		w.ends(e, OpExecute)
	case pgwire.MsgEmptyQueryResponse, pgwire.MsgPortalSuspended:
		w.ends(e, OpExecute)
	case pgwire.MsgCopyInResponse, pgwire.MsgCopyOutResponse, pgwire.MsgCopyBothResponse:
		e.copyBegins(typ, body)
	case pgwire.MsgParseComplete, pgwire.MsgBindComplete, pgwire.MsgCloseComplete:
		w.confirm(e)
	case pgwire.MsgReadyForQuery:
		w.flight.pop()
		w.finish(e)
	}
}

// ends takes e off the flight if it is an op, whose reply is complete.
func (w *watch) ends(e *entry, op Op) {
	if e.Op == op {
		w.flight.pop()
		w.finish(e)
	}
}

// finish keeps e, whose outcome is known, for the ReadyForQuery that ends its request.
func (w *watch) finish(e *entry) {
	if e.SQLState == "" {
		e.SQLState = "00000"
	}
	w.describe(e)
	w.number(e)
	if e.bound != nil {
		w.release(e.bound)
		e.bound = nil
	}
	w.renamed(e)
	w.ran(e)
	w.done = append(w.done, e)
	if w.held = true; len(w.done) >= maxDone {
		w.early(len(w.done))
	}
}

// maxDone bounds what waits for a ReadyForQuery.
const maxDone = 256

// describe completes the description of an Execute or Bind by what the server has confirmed: a name
// may have come to mean something else than was expected when it was sent.
func (w *watch) describe(e *entry) {
	if e.Op != OpExecute && e.Op != OpBind {
		if e.Op != OpQuery && e.Op != OpFunction {
			w.fill(e)
		}
		return
	}
	expected := e.bound
	if e.Op == OpExecute {
		actual, _ := w.confirmed.bound([]byte(e.Portal))
		if actual != expected {
			w.rebind(e, actual)
		}
	}
	told, text := e.Started, e.Text
	e.Text, e.TextLen, e.TextSHA256 = "", 0, ""
	w.fill(e)
	if e.Changed = told && e.Text != text; e.Changed && e.Text == "" && e.Message == "" {
		e.Message = nameIsSQLs
	}
}

// rebind makes e one of the portal b, which may be nil.
func (w *watch) rebind(e *entry, b *binding) {
	if b != nil {
		b.refs++
	}
	if e.bound != nil {
		w.release(e.bound)
	}
	e.bound = b
	if b != nil {
		w.executed(b)
	} else {
		e.Name, e.Params, e.NParams, e.text = "", nil, 0, prep{}
	}
}

// confirm applies a Parse, Bind or Close that the server has carried out.
func (w *watch) confirm(e *entry) {
	w.flight.pop()
	alone := false
	switch e.Op {
	case OpParse:
		alone = w.remember(e.text)
	case OpBind:
		if e.bound != nil {
			w.confirmBind(e)
		}
	case OpClose:
		if e.whole && e.Name != "" {
			w.confirmed.dropStatement(e.Name)
		} else if e.whole {
			w.confirmed.setStatement("", prep{})
		} else {
			w.setPortal(&w.confirmed, e.Portal, nil)
		}
	}
	switch {
	case e.Started, alone, w.detail == DetailFull && e.Op != OpBind:
		w.finish(e)
	default:
		w.drop(e)
	}
}

func (w *watch) confirmBind(e *entry) {
	b := e.bound
	b.text, _ = w.confirmed.statement([]byte(b.stmt)) // none: SQL's
	b.text.doubt = b.text.doubt || b.doubt
	w.setPortal(&w.confirmed, b.name, b)
	if !e.Started && !b.started {
		if w.detail == DetailFull {
			w.number(e)
		}
		b.alone, b.id, b.queue, b.conn, b.pid = true, e.ID, e.Queue, e.Conn, e.PID
		w.alone++
		w.held = true
	}
}

// executed notes that a portal is executed: its Bind is a part of that.
func (w *watch) executed(b *binding) {
	if b.alone && !b.executed {
		w.alone--
	}
	b.executed = true
}

// failed notes an error in the reply to e. All but a Query and a FunctionCall end with it.
func (w *watch) failed(e *entry, body []byte) {
	failure := parseError(body)
	e.SQLState, e.Message, w.tx.failed = failure.Code, failure.Message, true
	w.copyEnds(e, failure.Code)
	if e.Op == OpQuery || e.Op == OpFunction {
		return
	}
	if w.flight.pop(); e.Op == OpBind && e.bound != nil && e.bound.started && !e.Started {
		e.bound.code, e.bound.message = e.SQLState, e.Message // its Execute's start stands for both
		w.drop(e)
		return
	}
	w.finish(e)
}

// stray notes an error that answers none of the entries: that of a Sync's implicit commit is the last
// statement's, if that was not told of before; that of a request of the broker's own is the next one's.
func (w *watch) stray(body []byte, head token) {
	failure := parseError(body)
	switch {
	case head.kind == kindSync && len(w.done) > 0:
		last := w.done[len(w.done)-1]
		last.SQLState, last.Message, w.tx.failed = failure.Code, failure.Message, true
	case head.kind != kindSync && head.origin == fromBroker && w.flight.size > 0:
		w.failed(w.flight.head(), body)
	default: // of a Sync with nothing left to tell it, or of a Describe, which is not told: it ends the batch
		w.tx.code, w.tx.text, w.tx.failed = failure.Code, failure.Message, true
	}
}

// skipped tells of an entry that the server has passed over after an error.
func (w *watch) skipped(e *entry) {
	if !e.Started {
		w.drop(e)
		return
	}
	if e.bound != nil && e.bound.code != "" {
		e.SQLState, e.Message = e.bound.code, e.bound.message
		e.bound.code = ""
		w.number(e)
		w.done, w.held = append(w.done, e), true
		return
	}
	e.Skipped = true
	w.tell(e)
}

// unknown tells of an entry of which it is not known whether the server has run it.
func (w *watch) unknown(e *entry) {
	if e.Op == OpExecute && e.bound != nil {
		w.executed(e.bound) // or may have been
	}
	if !e.Started && (e.Op == OpParse || e.Op == OpBind || e.Op == OpClose) {
		w.drop(e)
		return
	}
	w.fill(e)
	w.mayHaveRun(e)
	w.tell(e)
}

// inDoubt passes the time until replies can be told apart again.
func (w *watch) inDoubt(typ, status byte) {
	w.doubt, w.tx.vague = true, true
	switch typ {
	case pgwire.MsgErrorResponse:
		w.tx.failed = true
	case pgwire.MsgReadyForQuery:
		w.settled(status)
		w.flush(status)
	}
}

// readyForQuery tells of all that is done, now that the state of the transaction is known.
func (w *watch) readyForQuery(status byte) {
	w.settled(status)
	w.flush(status)
	if status == 'I' {
		w.clearPortals(&w.confirmed)
	}
	w.held = w.alone > 0
}

func (w *watch) flush(status byte) {
	if len(w.done) == 0 {
		return
	}
	at := time.Now()
	now := clockOf(at)
	for i, e := range w.done {
		e.At, e.Tx, e.Exec = at, status, since(now, e.from)
		w.tell(e)
		w.done[i] = nil
	}
	w.done = w.done[:0]
}

// lastWords notes the FATAL that the server leaves with.
func (w *watch) lastWords(e *pgwire.Error) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fatal, w.fatalText = e.Code, e.Message
}

// over tells of what has no answer when the session has ended. Nothing else of the session runs.
func (w *watch) over(r *Result) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	sure := w.flight.size == 0 && w.syncs == 0 && !w.doubt
	w.flush(0)
	w.unsettled(r, sure)
	if r.Tell != nil { // what the client has read, whoever else has said something
		w.fatal, w.fatalText = r.Tell.Code, r.Tell.Message
	}
	for w.flight.size > 0 {
		e := w.flight.pop()
		if e.Op == OpQuery || e.Op == OpExecute || e.Op == OpFunction {
			if e.SQLState == "" {
				e.SQLState, e.Message = w.fatal, w.fatalText
			}
			w.copyEnds(e, e.SQLState)
			w.fatal, w.fatalText = "", ""
		}
		w.unknown(e)
	}
	w.refuse("", "", true)
	w.clearPortals(&w.confirmed)
}

// abandon gives up what was scanned and not sent. code and text are what the client reads of the first
// request; what is behind it will be scanned again.
func (w *watch) abandon(code, text string, told bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scanned = false
	w.refuse(code, text, told)
	w.settleNames()
}

// refuse tells of what was scanned and not sent. told says whether what Start was told stands.
func (w *watch) refuse(code, text string, told bool) {
	ready := w.ready[w.planned:]
	w.ready, w.planned = w.ready[:0], 0
	for _, e := range ready {
		first := code != "" && e.Op != OpParse && e.Op != OpBind && e.Op != OpClose
		switch {
		case e.Started && !told:
			w.drop(e)
		case first, e.Started:
			w.fill(e)
			e.SQLState, e.Message, e.Skipped = code, text, code == ""
			code, text = "", ""
			w.tell(e)
		default:
			w.drop(e)
		}
	}
	w.starts = w.starts[:0]
}
