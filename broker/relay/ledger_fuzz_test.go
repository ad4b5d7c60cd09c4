package relay

import (
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/pgwire"
)

// asked is a message on its way to the server, said an answer on its way back.
type (
	asked struct {
		typ byte
		n   *note  // the ledger's, which tells requests apart
		who origin // who reads the answer
	}
	said struct {
		answer string
		n      *note
		who    origin
	}
)

// pipeline is a ledger between a client that does as it likes and a server that answers when it likes.
type pipeline struct {
	t       *testing.T
	steps   []byte // what happens, by chance
	ledger  ledger
	server  postgres
	up      []asked
	down    []said
	copying asked // the request whose COPY the server reads
	data    bool  // the client owes the data of a COPY, or their end, as far as it knows
	trace   strings.Builder
	over    bool // the relay would end the session
}

func (p *pipeline) next() (b byte) {
	if len(p.steps) > 0 {
		b, p.steps = p.steps[0], p.steps[1:]
	}
	return b
}

// ofCopy says whether a message is one that means nothing outside of a COPY.
func ofCopy(typ byte) bool {
	switch typ {
	case pgwire.MsgCopyData, pgwire.MsgCopyDone, pgwire.MsgCopyFail, pgwire.MsgFlush:
		return true
	}
	return false
}

// maySend says whether a client may send that. Behind a COPY it sends no other request before the
// end of its data, or the COPY's: PostgreSQL would hang up (W60).
func (p *pipeline) maySend(typ byte) bool {
	p.data = p.data && (len(p.up)+len(p.down) > 0 || p.server.copying)
	return !p.data || typ == pgwire.MsgSync || ofCopy(typ)
}

// send is the client's half: as plan and fence do it.
func (p *pipeline) send(typ byte) {
	onWire, sub := typ, byte('P')
	switch typ {
	case describeStatement:
		onWire, sub = pgwire.MsgDescribe, 'S'
	case copyQuery:
		onWire = pgwire.MsgQuery
	case copyExecute:
		onWire = pgwire.MsgExecute
	}
	p.trace.WriteString(" >" + string(rune(typ)))
	m := asked{typ: typ, n: &note{}}
	if !ofCopy(typ) && typ != pgwire.MsgSync && p.ledger.doubt == unsure {
		p.over = true // errCopyDoubt
		return
	}
	p.data = typ == copyQuery || typ == copyExecute || p.data && typ != pgwire.MsgCopyDone && typ != pgwire.MsgCopyFail
	if !p.ledger.skip || typ == pgwire.MsgSync {
		p.ledger.sent(onWire, sub, fromClient, m.n)
	}
	p.up = append(p.up, m)
	if typ == pgwire.MsgSync && p.ledger.needsFence() {
		p.trace.WriteString(" >fence")
		p.ledger.raiseFence()
		p.up = append(p.up, asked{typ: pgwire.MsgClose, who: fromBroker}, asked{typ: pgwire.MsgSync, who: fromBroker})
	}
}

// serve lets the server take one message.
func (p *pipeline) serve() {
	if len(p.up) == 0 {
		return
	}
	m := p.up[0]
	p.up = p.up[1:]
	if p.server.copying {
		m.n, m.who = p.copying.n, p.copying.who
	}
	for _, answer := range p.server.ask(m.typ) {
		p.down = append(p.down, said{answer, m.n, m.who})
	}
	p.copying = m
}

// receive is the server's reader: it takes one answer.
func (p *pipeline) receive() {
	if len(p.down) == 0 || p.over {
		return
	}
	a := p.down[0]
	p.down = p.down[1:]
	p.trace.WriteString(" <" + a.answer)
	var status byte
	if len(a.answer) > 1 {
		status = a.answer[1]
	}
	head, _, err := p.ledger.received(a.answer[0], status)
	switch {
	case err != nil && strings.Contains(err.Error(), "without a Sync behind a failed COPY"):
		p.over = true // documented: nobody knows what the server skips
	case err != nil:
		p.t.Fatalf("%s: %v", &p.trace, err)
	case head.origin != a.who:
		p.t.Fatalf("%s: the answer goes to %d, want %d", &p.trace, head.origin, a.who)
	case head.seq != 0 && a.who == fromClient && head.note != a.n && head.kind != kindSync:
		p.t.Fatalf("%s: the answer is taken for that of another request, of kind %d", &p.trace, head.kind)
	}
}

// check holds the ledger against the truth. What COPY leaves behind on the way up is ignored there.
func (p *pipeline) check() {
	if p.over || p.server.dead || !p.ledger.clean() {
		return
	}
	for _, m := range p.up {
		if !ofCopy(m.typ) {
			p.t.Fatalf("%s: clean with %q unread", &p.trace, m.typ)
		}
	}
	if len(p.down) > 0 || !p.server.idle() {
		p.t.Fatalf("%s: clean with %d answers under way and the server at %+v", &p.trace, len(p.down), p.server)
	}
}

// drain lets everything be answered that can be.
func (p *pipeline) drain() {
	for !p.over && len(p.up)+len(p.down) > 0 {
		p.serve()
		for len(p.down) > 0 && !p.over {
			p.receive()
			p.check()
		}
	}
	if p.ledger.willAnswer() && !p.over && !p.server.dead {
		p.t.Fatalf("%s: all is answered, and the session would wait for more", &p.trace)
	}
}

// messages are what clients send, the more common ones more than once.
const messages = "PBEDSQPBESQFCHdcfdc\xddSqe"

// FuzzLedger: whatever a client sends and whatever becomes of it, each answer is taken for that of
// the request which it answers, goes to whoever asked, and the connection is clean when the server is
// idle outside a transaction with nothing under way in either direction, and not before.
func FuzzLedger(f *testing.F) {
	f.Add([]byte{})
	for _, s := range ledgerSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(playSteps)
}

// playSteps is one life of a connection.
func playSteps(t *testing.T, steps []byte) {
	p := &pipeline{t: t, steps: steps, ledger: ledger{tx: 'I'}, server: postgres{tx: 'I'}}
	p.server.decide = p.next
	for len(p.steps) > 0 && !p.over && !p.server.dead {
		switch op := p.next(); {
		case int(op)%32 < len(messages):
			if typ := messages[op%32]; p.maySend(typ) {
				p.send(typ)
			}
		case op%32 < 25:
			p.serve()
		case op%32 < 31:
			p.receive()
		default:
			p.drain()
		}
		p.check()
	}
	p.drain()
	if p.server.copying {
		p.send(pgwire.MsgCopyFail)
	}
	for range 2 { // a COPY may have eaten the first
		p.send(pgwire.MsgSync)
		p.drain()
	}
	if p.over || p.server.dead {
		return
	}
	if p.ledger.clean() != p.server.idle() || p.ledger.tx != p.server.tx {
		t.Fatalf("%s: in the end the ledger is clean: %v, in %c, the server %+v", &p.trace, p.ledger.clean(), p.ledger.tx, p.server)
	}
}

// ledgerSeeds are steps: what is sent, what is served and received, and the choices in between. Each
// once found a bug.
var ledgerSeeds = []string{
	// A COPY by Execute that eats the Sync which was to end its batch.
	"]s\xd6G\xc3\xb6%\xec@\xf9\x97\t\xffAX\xe4*\x13\x92\xffiw\x9dJ\x05\xda\x9bJ\xf7X\xf7\x84\xbc\xba1\xc2\xc8}=\x85\x1a\x06\a\x7f\xc4\x04\x92B0\x92-+\x93\x9f\xbb\xf2\x05\xb6",
	// A COPY that fails at once, with two Syncs before its end and a request behind it.
	"#\xd5\x1e\x86\x8d\xf4\xa9\xfbNb\xa1H\x19\xca\x90\\\xa0\xed\x9c\xabgܯoQ\x05(\x0eA\x8eږ\xf9\xfd>\xa7\\ڳ*\xbe_^\xe3\xe7",
	// A Query's COPY that eats three Syncs and fails; one more is sent before its ReadyForQuery.
	"\xcb\xbf\xeb\xb5\xca}x\xf8zK\n\x16\x1cɭ\x83u\x91\x81\xd8u)\rI\b\xe5\xdb\xd4\x7f\x9b\n\x1b\xb0X\nw\xfdi\x1fO$y\x11\xcdE\x7f.\xb3",
}
