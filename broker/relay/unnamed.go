package relay

// unnamedLog is a client's unnamed statement (W38): what it will be once all that was sent has been
// carried out, and the requests on the way that make it so, any of which an error may cancel.
type unnamedLog struct {
	now     *statement // nil: there is none
	settled *statement // before the first of changes
	changes []unnamedChange
}

// unnamedChange is a request after which the unnamed statement is st.
type unnamedChange struct {
	at uint64 // its place in the server's ledger
	st *statement
}

// set notes that the request sent last changes the statement.
func (u *unnamedLog) set(st *statement, l *ledger) {
	head, _ := l.fifo.head()
	answered := 0
	for answered < len(u.changes) && u.changes[answered].at < head.seq {
		u.settled = u.changes[answered].st
		answered++
	}
	u.changes = append(u.changes[:0], u.changes[answered:]...)
	u.changes = append(u.changes, unnamedChange{at: l.seq, st: st})
	u.now = st
}

// settle notes that all requests have been carried out, or undone.
func (u *unnamedLog) settle() {
	u.settled, u.changes = u.now, u.changes[:0]
}

// failed notes that the request at one place has failed, which leaves none if it was to change the
// statement, and that those up to another were cancelled.
func (u *unnamedLog) failed(at, cut uint64) {
	kept := u.changes[:0]
	for _, c := range u.changes {
		switch {
		case c.at == at:
			kept = append(kept, unnamedChange{at: at})
		case c.at < at, c.at > cut:
			kept = append(kept, c)
		}
	}
	if u.changes = kept; len(kept) > 0 {
		u.now = kept[len(kept)-1].st
	} else {
		u.now = u.settled
	}
}

// unsure says whether what the statement will be depends on requests of earlier batches, which may
// yet fail and leave what is sent now as it is.
func (u *unnamedLog) unsure(l *ledger) bool {
	return len(u.changes) > 0 && l.unsure(u.changes[len(u.changes)-1].at)
}
