package relay

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/pgsignet/pgsignet/pgwire"
)

// backend is what PostgreSQL keeps of prepared statements and portals, and what it answers to requests
// that concern them: tcop/postgres.c and commands/prepare.c, for the few texts that it knows.
type backend struct {
	named   map[string]string
	unnamed *string
	portals map[string]*cursor
	tx      byte // I, T or E
	skip    bool // messages are dropped until Sync
	out     []byte
}

// cursor is a portal.
type cursor struct {
	text       string
	done, dead bool
	early      bool // it deallocates what there was not when it was bound
}

func newBackend() *backend {
	return &backend{named: map[string]string{}, portals: map[string]*cursor{}, tx: 'I'}
}

// take executes one message; out holds the answers, too.
func (b *backend) take(typ byte, body []byte) {
	if typ == pgwire.MsgSync {
		b.skip = false
		b.ready()
		return
	}
	if b.skip {
		return
	}
	first, rest := cutString(body)
	switch typ {
	case pgwire.MsgQuery:
		b.query(first)
	case pgwire.MsgParse:
		text, _ := cutString(rest)
		b.parse(first, text)
	case pgwire.MsgBind:
		name, _ := cutString(rest)
		b.bind(first, name)
	case pgwire.MsgExecute:
		b.execute(first)
	case pgwire.MsgDescribe:
		b.describe(body[0], first[1:])
	case pgwire.MsgClose:
		b.close(body[0], first[1:])
	}
}

func cutString(b []byte) (s string, rest []byte) {
	head, rest, _ := bytes.Cut(b, []byte{0})
	return string(head), rest
}

// ready ends what runs outside a block and says so.
func (b *backend) ready() {
	if b.tx == 'I' {
		clear(b.portals)
	}
	b.out = pgwire.AppendReadyForQuery(b.out, b.tx)
}

// fail is an error in the extended protocol: what follows is dropped until Sync.
func (b *backend) fail(code, text string) {
	b.abort(code, text)
	b.skip = true
}

func (b *backend) abort(code, text string) {
	b.out = pgwire.AppendError(b.out, &pgwire.Error{Severity: pgwire.Err, Code: code, Message: text})
	if b.tx == 'I' {
		clear(b.portals)
		return
	}
	b.tx = 'E'
	for _, c := range b.portals {
		c.dead = true
	}
}

const abortedText = "current transaction is aborted, commands ignored until end of transaction block"

func exits(text string) bool { return text == "commit" || text == "rollback" }

func (b *backend) parse(name, text string) {
	if name == "" {
		b.unnamed = nil
	}
	_, taken := b.named[name]
	switch {
	case text == "selec":
		b.fail("42601", `syntax error at or near "selec"`)
	case b.tx == 'E' && text != "" && !exits(text):
		b.fail("25P02", abortedText)
	case taken:
		b.fail("42P05", `prepared statement "`+name+`" already exists`)
	default:
		if name == "" {
			b.unnamed = &text
		} else {
			b.named[name] = text
		}
		b.out = pgwire.AppendEmpty(b.out, pgwire.MsgParseComplete)
	}
}

// statement finds a statement, or fails.
func (b *backend) statement(name string) (text string, ok bool) {
	if name == "" {
		if b.unnamed == nil {
			b.fail("26000", "unnamed prepared statement does not exist")
			return "", false
		}
		return *b.unnamed, true
	}
	if text, ok = b.named[name]; !ok {
		b.fail("26000", `prepared statement "`+name+`" does not exist`)
	}
	return text, ok
}

func (b *backend) bind(portal, name string) {
	text, ok := b.statement(name)
	if !ok {
		return
	}
	_, taken := b.portals[portal]
	switch {
	case b.tx == 'E' && !exits(text):
		b.fail("25P02", abortedText)
	case taken && portal != "":
		b.fail("42P03", `cursor "`+portal+`" already exists`)
	default:
		b.portals[portal] = &cursor{text: text}
		b.out = pgwire.AppendEmpty(b.out, pgwire.MsgBindComplete)
	}
}

func (b *backend) describe(kind byte, name string) {
	if kind == 'S' {
		if text, ok := b.statement(name); ok && !b.refuses(text) {
			b.out = append(b.out, 't', 0, 0, 0, 6, 0, 0)
			b.columns(text)
		}
		return
	}
	if c := b.portals[name]; c == nil {
		b.fail("34000", `portal "`+name+`" does not exist`)
	} else if !b.refuses(c.text) {
		b.columns(c.text)
	}
}

// refuses fails where rows are described in a failed transaction.
func (b *backend) refuses(text string) bool {
	if b.tx != 'E' || !strings.HasPrefix(text, "select") {
		return false
	}
	b.fail("25P02", abortedText)
	return true
}

func (b *backend) columns(text string) {
	if strings.HasPrefix(text, "select") {
		b.out = pgwire.AppendRowDescription(b.out, []pgwire.Column{{Name: "text", Type: 25, Size: -1}})
	} else {
		b.out = pgwire.AppendEmpty(b.out, pgwire.MsgNoData)
	}
}

func (b *backend) close(kind byte, name string) {
	switch {
	case kind == 'P':
		delete(b.portals, name)
	case name == "":
		b.unnamed = nil
	default:
		delete(b.named, name)
	}
	b.out = pgwire.AppendEmpty(b.out, pgwire.MsgCloseComplete)
}

func (b *backend) execute(portal string) {
	c := b.portals[portal]
	switch {
	case c == nil:
		b.fail("34000", `portal "`+portal+`" does not exist`)
	case c.text == "":
		b.out = pgwire.AppendEmpty(b.out, pgwire.MsgEmptyQueryResponse)
	case b.tx == 'E' && !exits(c.text):
		b.fail("25P02", abortedText)
	case c.dead, c.done && !strings.HasPrefix(c.text, "select"):
		b.fail("55000", `portal "`+portal+`" cannot be run`)
	case c.done:
		b.out = pgwire.AppendCommandComplete(b.out, "SELECT 0")
	default:
		c.done = true
		if code, text := b.run(c.text, false); code != "" {
			b.fail(code, text)
		}
	}
}

func (b *backend) query(text string) {
	b.unnamed = nil
	switch {
	case text == "selec":
		b.abort("42601", `syntax error at or near "selec"`)
	case text == "":
		b.out = pgwire.AppendEmpty(b.out, pgwire.MsgEmptyQueryResponse)
	case b.tx == 'E' && !exits(text):
		b.abort("25P02", abortedText)
	default:
		delete(b.portals, "")
		if code, why := b.run(text, true); code != "" {
			b.abort(code, why)
		}
	}
	b.ready()
}

// run executes a statement, or says why it fails.
func (b *backend) run(text string, rows bool) (code, why string) {
	tag := strings.ToUpper(text)
	switch word, name, _ := strings.Cut(text, " "); {
	case text == "select 1/0":
		return "22012", "division by zero"
	case word == "select":
		if rows {
			b.columns(text)
		}
		b.out = pgwire.AppendDataRow(b.out, []*string{&text}) // the row tells what was run
		tag = "SELECT 1"
	case text == "begin":
		b.tx = 'T'
	case exits(text):
		if b.tx == 'E' {
			tag = "ROLLBACK"
		}
		b.tx = 'I'
		clear(b.portals)
	case tag == "DISCARD ALL" && b.tx != 'I':
		return "25001", "DISCARD ALL cannot run inside a transaction block"
	case tag == "DEALLOCATE ALL", tag == "DISCARD ALL":
		clear(b.named)
	case strings.EqualFold(word, "deallocate"):
		if _, ok := b.named[name]; !ok {
			return "26000", `prepared statement "` + name + `" does not exist`
		}
		delete(b.named, name)
		tag = "DEALLOCATE"
	}
	b.out = pgwire.AppendCommandComplete(b.out, tag)
	return "", ""
}

// takeFirst executes the first message in b and returns what is behind it.
func (b *backend) takeFirst(in []byte) (rest []byte) {
	total := 1 + int(binary.BigEndian.Uint32(in[1:]))
	b.take(in[0], in[headerSize:total])
	return in[total:]
}
