package relay

import (
	"errors"
	"fmt"

	"github.com/pgsignet/pgsignet/pgwire"
)

// kind is what a token waits for (wire-protocol rules, section 2).
type kind uint8

const (
	kindParse     kind = iota + 1 // `1`
	kindBind                      // `2`
	kindClose                     // `3`
	kindDescribeS                 // `t`, then `T` or `n`
	kindDescribeP                 // `T` or `n`
	kindExecute                   // `C`, `I` or `s`
	kindQuery                     // `Z`
	kindFunction                  // `V` or `E`, then `Z`
	kindSync                      // `Z`
)

// origin says who asked, and so who gets the reply.
type origin uint8

const (
	fromClient origin = iota // the reply is forwarded
	fromBroker               // the reply is swallowed
)

// token is one reply that the server owes.
type token struct {
	kind   kind
	origin origin
	seq    uint64 // position among all tokens of the connection
	note   *note  // what the reply means to the session; nil for most
	name   string // the client's name for the statement it uses, which has another one on the server
}

// ownsReady says whether the token is completed by ReadyForQuery.
func (t token) ownsReady() bool {
	return t.kind == kindQuery || t.kind == kindFunction || t.kind == kindSync
}

// copyState is the COPY a connection is in, as seen from the server.
type copyState uint8

const (
	copyNone copyState = iota
	copyIn
	copyOut
	copyBoth
)

// errUnexpected is a reply that does not fit the oldest request. Nothing that follows on that
// connection can be trusted to belong to anyone: both sides are closed.
var errUnexpected = errors.New("reply does not fit the request it answers")

// ledger accounts for the requests that a server connection has not answered yet. It is a plain
// state machine: no I/O, no locks; its owner serialises the calls.
//
// The zero value is a connection that has just become ready for queries, but for tx.
type ledger struct {
	fifo   ring
	seq    uint64
	mine   uint64 // seq of the last token whose reply is the client's
	tx     byte   // transaction state of the last ReadyForQuery: I, T or E
	open   bool   // extended messages were sent since the last Sync or Query
	ran    bool   // an Execute was among them
	skip   bool   // the server discards messages until Sync
	copy   copyState
	ends   []uint64 // seq at each CopyDone and CopyFail sent ahead of its CopyInResponse: Syncs up to it were sent before
	sealed bool     // CopyDone or CopyFail was sent since the CopyInResponse
	maybe  int      // Syncs that CopyIn may have eaten
	doubt  doubt    // whether an aborted COPY ate a Sync is unknown (W57)
	loose  bool     // some of the Syncs at the head of the queue may have been answered already
	owed   int      // ReadyForQuery that come besides those of the queue if it ate none

	failing uint64 // seq of the last request that has failed and is still owed its ReadyForQuery

	syncAt  uint64  // seq of the last Sync
	cut     uint64  // seq of the last token that an error has cancelled
	dropped []*note // what an error has cancelled, for the owner to undo, oldest first
}

// doubt is what is known after an aborted COPY that may have eaten a Sync.
type doubt uint8

const (
	certain doubt = iota // replies are accounted for
	unsure               // the server may be skipping messages up to a Sync that was not sent yet
)

// sent records a client message that goes to the server, before its bytes do. sub is the first byte
// of the body of Describe ('S' or 'P'); other messages ignore it.
func (l *ledger) sent(typ, sub byte, from origin, n *note) {
	switch typ {
	case pgwire.MsgQuery:
		l.open, l.ran = false, false
		l.push(kindQuery, from, n)
	case pgwire.MsgFunctionCall:
		l.open, l.ran = false, false // it commits what went before, as a Query does
		l.push(kindFunction, from, n)
	case pgwire.MsgSync:
		l.sync(from, n)
	case pgwire.MsgParse:
		l.extended(kindParse, from, n)
	case pgwire.MsgBind:
		l.extended(kindBind, from, n)
	case pgwire.MsgClose:
		l.extended(kindClose, from, n)
	case pgwire.MsgExecute:
		l.ran = true
		l.extended(kindExecute, from, n)
	case pgwire.MsgDescribe:
		k := kindDescribeP
		if sub == 'S' {
			k = kindDescribeS
		}
		l.extended(k, from, n)
	case pgwire.MsgCopyDone, pgwire.MsgCopyFail:
		switch {
		case (l.copy == copyIn || l.copy == copyBoth) && !l.sealed:
			l.sealed = true
		case !l.fifo.empty():
			l.ends = append(l.ends, l.seq)
		}
	}
}

// raiseFence records the Close and the Sync that the broker sends behind a client's Sync to end a
// doubt: every ReadyForQuery before that Close's reply is the client's.
func (l *ledger) raiseFence() {
	l.push(kindClose, fromBroker, nil)
	l.push(kindSync, fromBroker, nil)
}

// needsFence says whether the Sync that was just sent must be followed by a fence: it is, or may come
// to be, unknown how many of the Syncs before it a COPY has eaten. Where a COPY may read it as its data
// there is none: a Close in them would abort it. A later Sync, or any reply, ends the doubt then.
func (l *ledger) needsFence() bool {
	if l.mayRead() {
		return false
	}
	if l.loose || l.maybe > 0 && (l.copy != copyIn || l.sealed) {
		return true
	}
	if len(l.ends) == 0 {
		return false
	}
	end := l.ends[len(l.ends)-1]
	return l.any(func(t token) bool { return t.kind == kindSync && t.seq <= end })
}

// mayRead says whether what is sent now may be taken for the data of a COPY: of the one under way, or
// of an outstanding request behind which the client has sent no end of a COPY.
func (l *ledger) mayRead() bool {
	if l.copy == copyIn && !l.sealed {
		return true
	}
	end := uint64(0)
	if len(l.ends) > 0 {
		end = l.ends[len(l.ends)-1]
	}
	head, _ := l.fifo.head()
	return l.any(func(t token) bool {
		over := t.seq == head.seq && l.copy != copyNone || t.seq == l.failing
		return (t.kind == kindExecute || t.kind == kindQuery) && t.seq > end && !over
	})
}

// calls notes the client's name for the statement that the request sent last uses.
func (l *ledger) calls(name string) {
	if name != "" && !l.skip {
		l.fifo.last().name = name
	}
}

func (l *ledger) extended(k kind, from origin, n *note) {
	l.open = true
	l.push(k, from, n)
}

// sync records a Sync. While the server reads COPY data it may be eaten: it is held as a maybe
// until the COPY ends (W57).
func (l *ledger) sync(from origin, n *note) {
	l.open, l.ran = false, false
	if l.copy == copyIn && !l.sealed {
		l.maybe++
		return
	}
	l.skip, l.doubt = false, certain
	l.push(kindSync, from, n)
	l.syncAt = l.seq
}

func (l *ledger) push(k kind, from origin, n *note) {
	if l.skip {
		return
	}
	l.seq++
	if from == fromClient {
		l.mine = l.seq
	}
	l.fifo.push(token{kind: k, origin: from, seq: l.seq, note: n})
}

// received records one message from the server. It returns the token that the message answers and
// whether that token is complete with it. Asynchronous messages (N, A, S) are not for the ledger.
func (l *ledger) received(typ, status byte) (t token, done bool, err error) {
	head, ok := l.fifo.head()
	if l.loose && typ != 'Z' && ok && !(typ == 'E' && head.kind == kindSync && l.failsItself()) {
		head, ok = l.resolve()
	}
	switch typ {
	case 'E':
		return l.failed(head, ok)
	case 'Z':
		return l.ready(head, ok, status)
	}
	if !ok {
		return token{}, false, fmt.Errorf("%q with no request outstanding: %w", typ, errUnexpected)
	}
	fits, done := l.fits(head, typ)
	if !fits {
		return head, false, fmt.Errorf("%q for request kind %d: %w", typ, head.kind, errUnexpected)
	}
	if done {
		l.fifo.pop()
	}
	return head, done, nil
}

// resolve ends a doubt at a reply that is no ReadyForQuery: all Syncs at the head of the queue must
// have been answered before it. It returns the request that the reply is for.
func (l *ledger) resolve() (head token, ok bool) {
	for head, ok = l.fifo.head(); ok && head.kind == kindSync; head, ok = l.fifo.head() {
		l.fifo.pop()
	}
	l.loose, l.owed = false, 0
	return head, ok
}

// failsItself says whether an error that comes while a Sync is the oldest request can be nobody's but a
// Sync's, at its implicit commit (W20): behind the Syncs there is nothing, or a Close, as in a fence,
// which never fails.
func (l *ledger) failsItself() bool {
	for i := range l.fifo.size {
		if t := l.fifo.buf[(l.fifo.at+i)%len(l.fifo.buf)]; t.kind != kindSync {
			return t.kind == kindClose
		}
	}
	return true
}

// fits says whether a server message may answer the head of the queue, and whether it completes it.
func (l *ledger) fits(head token, typ byte) (fits, done bool) {
	runs := head.kind == kindExecute || head.kind == kindQuery
	switch typ {
	case '1':
		return head.kind == kindParse, true
	case '2':
		return head.kind == kindBind, true
	case '3':
		return head.kind == kindClose, true
	case 't':
		return head.kind == kindDescribeS, false
	case 'T':
		if head.kind == kindQuery {
			return true, false
		}
		return head.kind == kindDescribeS || head.kind == kindDescribeP, true
	case 'n':
		return head.kind == kindDescribeS || head.kind == kindDescribeP, true
	case 'D', 'd', 'c':
		return runs, false
	case 'C', 'I', 's':
		l.commandEnds(typ, head)
		return runs, head.kind == kindExecute
	case 'G', 'H', 'W':
		if runs {
			l.copyBegins(typ, head)
		}
		return runs, false
	case 'V':
		return head.kind == kindFunction, false
	}
	return false, false
}

// copyBegins notes the COPY; Syncs sent behind it and before its end may be eaten.
func (l *ledger) copyBegins(typ byte, head token) {
	switch typ {
	case 'H':
		l.copy = copyOut
		return
	case 'W':
		l.copy = copyBoth
		return
	}
	l.copy = copyIn
	limit := l.seq
	l.sealed = false
	for len(l.ends) > 0 && !l.sealed {
		if l.sealed = l.ends[0] >= head.seq; l.sealed {
			limit = l.ends[0]
		}
		l.ends = l.ends[1:]
	}
	l.maybe += l.fifo.removeSyncs(head.seq, limit)
}

// commandEnds closes a COPY: the Syncs in it were eaten, so that its batch is open as long as none was
// sent behind it.
func (l *ledger) commandEnds(typ byte, head token) {
	if typ != 'C' || l.copy == copyNone {
		return
	}
	if l.maybe > 0 && head.kind == kindExecute && !l.owesReady() {
		l.open = true
	}
	l.copy, l.maybe, l.sealed = copyNone, 0, false
}

// failed applies an ErrorResponse: a Query, FunctionCall or Sync is still owed its ReadyForQuery;
// anything else makes the server skip until Sync, and what was queued before it gets no reply.
func (l *ledger) failed(head token, ok bool) (token, bool, error) {
	eaten := l.copy == copyIn && l.maybe > 0
	if eaten {
		l.loose, l.owed = true, l.maybe
	}
	l.copy, l.sealed, l.maybe = copyNone, false, 0
	if !ok {
		return token{}, false, nil // an error that nobody asked for: the server is about to leave
	}
	if head.ownsReady() {
		l.failing = head.seq
		return head, false, nil
	}
	for {
		t, more := l.fifo.head()
		if !more {
			if l.skip = !eaten; eaten {
				l.doubt = unsure
			}
			return head, true, nil
		}
		if t.kind == kindSync {
			return head, true, nil
		}
		if eaten && t.seq != head.seq {
			return head, true, fmt.Errorf("request without a Sync behind a failed COPY: %w", errUnexpected)
		}
		l.drop()
	}
}

// drop cancels the oldest request: it gets no reply.
func (l *ledger) drop() {
	t, _ := l.fifo.head()
	if l.cut = t.seq; t.note != nil {
		l.dropped = append(l.dropped, t.note)
	}
	l.fifo.pop()
}

// ready applies a ReadyForQuery.
func (l *ledger) ready(head token, ok bool, status byte) (token, bool, error) {
	if status != 'I' && status != 'T' && status != 'E' {
		return head, false, fmt.Errorf("transaction status %q: %w", status, errUnexpected)
	}
	if l.owed > 0 && (!ok || head.kind == kindSync || head.seq != l.failing) {
		l.tx = status
		if l.owed--; l.owed == 0 && !ok {
			l.loose, l.doubt = false, certain // it ate none: all have come
		}
		return token{}, true, nil
	}
	if !ok || !head.ownsReady() {
		return head, false, fmt.Errorf("ReadyForQuery not asked for: %w", errUnexpected)
	}
	l.tx = status
	l.fifo.pop()
	if l.fifo.empty() {
		l.ends = l.ends[:0]
		l.loose = l.loose && l.owed > 0
	}
	return head, true, nil
}
