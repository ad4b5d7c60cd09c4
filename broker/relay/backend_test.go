package relay

import (
	"github.com/pgsignet/pgsignet/pgwire"
)

// postgres is the front of PostgreSQL's main loop (tcop/postgres.c), as far as it decides which
// message gets which answer: skipping until Sync, COPY that eats Syncs, implicit transactions. What
// statements do is decided by whoever calls ask.
type postgres struct {
	decide func() byte // the outcome of the next step, any number

	skip     bool // messages are dropped until Sync
	extended bool // an error now begins skipping
	open     bool // extended messages have run since the last Sync or Query
	wrote    bool // a statement has run since then
	copying  bool // COPY FROM STDIN reads
	byQuery  bool // it was begun by a Query
	tx       byte
	dead     bool // it has left: FATAL
}

// ask lets the server take one message and returns the types of what it answers, with Z and its status
// as one.
func (p *postgres) ask(typ byte) (answers []string) {
	switch {
	case p.dead:
		return nil
	case p.copying:
		return p.copied(typ)
	}
	switch typ {
	case pgwire.MsgQuery, copyQuery, pgwire.MsgFunctionCall, pgwire.MsgCopyData, pgwire.MsgCopyDone, pgwire.MsgCopyFail:
		p.extended = false
	case pgwire.MsgSync:
		p.skip, p.extended = false, false
	default:
		p.extended = true
	}
	if p.skip {
		return nil
	}
	switch typ {
	case pgwire.MsgQuery, copyQuery:
		p.open = false
		return p.run(nil, true, typ == copyQuery)
	case pgwire.MsgFunctionCall:
		p.open = false
		if p.decide()%4 == 0 {
			return p.ready("E")
		}
		return p.ready("V")
	case pgwire.MsgSync:
		commits := p.open && p.wrote
		if p.open, p.wrote = false, false; commits && p.decide()%4 == 0 { // a deferred constraint (W20)
			return p.ready("E")
		}
		return p.ready()
	case pgwire.MsgCopyData, pgwire.MsgCopyDone, pgwire.MsgCopyFail, pgwire.MsgFlush:
		return nil
	}
	p.open = true
	p.wrote = p.wrote || typ == pgwire.MsgExecute || typ == copyExecute
	how := p.decide()
	switch {
	case how%8 == 0 && typ != pgwire.MsgClose: // which never fails
		return p.failed()
	case typ == pgwire.MsgParse:
		return []string{"1"}
	case typ == pgwire.MsgBind:
		return []string{"2"}
	case typ == pgwire.MsgClose:
		return []string{"3"}
	case typ == describeStatement:
		return []string{"t", []string{"T", "n"}[how/8%2]}
	case typ == pgwire.MsgDescribe:
		return []string{[]string{"T", "n"}[how/8%2]}
	}
	return p.run(nil, false, typ == copyExecute)
}

// Requests that are told apart besides their types: a Describe of a statement, and what runs a COPY
// FROM STDIN, if it comes to that.
const (
	describeStatement = 0xDD
	copyQuery         = 'q'
	copyExecute       = 'e'
)

// run is a statement, or those of a Query, up to its end or a COPY.
func (p *postgres) run(answers []string, query, copies bool) []string {
	for {
		how := p.decide()
		what := how % 8
		if what < 5 && copies && how/8%4 > 0 {
			what = 5
		}
		if query && what == 2 {
			answers = append(answers, "T")
		}
		switch what {
		case 0:
			return append(answers, p.failed()...)
		case 1:
			answers = append(answers, "I")
		case 2:
			answers = append(answers, "D", "D", "C")
		case 3:
			answers = append(answers, "H", "d", "d", "c", "C")
		case 4:
			if answers = append(answers, "D"); !query {
				return append(answers, "s")
			}
			answers = append(answers, "C")
		case 5, 6, 7:
			if !copies {
				answers = append(answers, "C")
				break
			}
			answers = append(answers, "G")
			if how/8%4 == 0 { // a trigger fails before any data are read
				return append(answers, p.failed()...)
			}
			p.copying, p.byQuery = true, query
			return answers
		}
		if !query {
			return answers
		}
		if how/8%4 != 0 {
			return p.ready(answers...)
		}
	}
}

// copied is a message that COPY reads.
func (p *postgres) copied(typ byte) []string {
	switch typ {
	case pgwire.MsgCopyData:
		if p.decide()%8 == 0 {
			return p.copyFails() // a bad row
		}
		return nil
	case pgwire.MsgFlush, pgwire.MsgSync:
		return nil
	case pgwire.MsgCopyDone:
		if p.decide()%4 == 0 {
			return p.copyFails()
		}
		p.copying = false
		if !p.byQuery {
			return []string{"C"}
		}
		if p.decide()%4 == 0 {
			return p.run([]string{"C"}, true, false)
		}
		return p.ready("C")
	case pgwire.MsgCopyFail:
		return p.copyFails()
	}
	p.dead = true // W60
	return nil
}

func (p *postgres) copyFails() []string {
	p.copying = false
	p.extended = !p.byQuery
	return p.failed()
}

// failed is an error: in the extended protocol what follows is skipped, a Query ends.
func (p *postgres) failed() []string {
	p.open, p.wrote = false, false
	if p.extended {
		p.skip = true
		return []string{"E"}
	}
	return p.ready("E")
}

// ready appends ReadyForQuery.
func (p *postgres) ready(answers ...string) []string {
	p.tx = "IITE"[p.decide()%4]
	return append(answers, "Z"+string(p.tx))
}

// idle says whether the server is where a connection may change hands.
func (p *postgres) idle() bool {
	return !p.dead && !p.skip && !p.open && !p.copying && p.tx == 'I'
}
