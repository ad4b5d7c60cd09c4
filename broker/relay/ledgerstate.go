package relay

// This file says what a ledger knows of its connection: whether it is quiet, clean, or owes an answer.

// quiet says whether the server owes nothing and expects nothing.
func (l *ledger) quiet() bool {
	return l.fifo.empty() && l.maybe == 0 && l.doubt == certain && !l.loose && !l.skip && !l.open && l.copy == copyNone
}

// clean says whether the connection is quiet and outside a transaction: the only state in which it
// may change hands.
func (l *ledger) clean() bool { return l.quiet() && l.tx == 'I' }

// owesReady says whether a ReadyForQuery is outstanding: what is sent now runs in a transaction
// whose state is not known yet.
func (l *ledger) owesReady() bool {
	for i := range l.fifo.size {
		if l.fifo.buf[(l.fifo.at+i)%len(l.fifo.buf)].ownsReady() {
			return true
		}
	}
	return false
}

// owesState says whether a ReadyForQuery is outstanding that may tell of another state than the one known: not that
// of a replay, which leaves it as it is or ends the connection.
func (l *ledger) owesState() bool {
	for i := range l.fifo.size {
		t := &l.fifo.buf[(l.fifo.at+i)%len(l.fifo.buf)]
		if t.ownsReady() && (t.note == nil || !t.note.mustSucceed) {
			return true
		}
	}
	return false
}

// willAnswer says whether a ReadyForQuery comes without more being sent.
func (l *ledger) willAnswer() bool {
	waits := (l.copy == copyIn || l.copy == copyBoth) && !l.sealed
	return l.doubt == certain && !waits && l.owesReady()
}

// unsure says whether the request at that place may yet be cancelled by an error that leaves what is
// sent now as it is: it is not answered, and a Sync stands between.
func (l *ledger) unsure(at uint64) bool {
	head, ok := l.fifo.head()
	return ok && head.seq <= at && at <= l.syncAt
}

// busy says whether the server is, or may be, working for the client.
func (l *ledger) busy() bool {
	return !l.fifo.empty() || l.copy != copyNone || l.doubt != certain || l.loose
}
