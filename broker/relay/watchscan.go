package relay

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"

	"github.com/pgsignet/pgsignet/pgwire"
)

// need is how many bytes of a message the watch must see.
func (w *watch) need(typ byte, b []byte, total int) int {
	if w == nil {
		return 0
	}
	switch typ {
	case pgwire.MsgQuery, pgwire.MsgParse:
		return min(total, inspectLimit)
	case pgwire.MsgExecute, pgwire.MsgClose:
		return total
	case pgwire.MsgBind:
		if w.detail == DetailFull {
			return min(total, inspectLimit)
		}
		return bindHead(b, total)
	case pgwire.MsgFunctionCall:
		if w.detail == DetailFull {
			return min(total, inspectLimit)
		}
		return formatsEnd(b, headerSize+4, total)
	}
	return headerSize
}

// bindHead is how many bytes of a Bind hold its names and its number of parameters, as far as those
// that are there tell.
func bindHead(b []byte, total int) int {
	return formatsEnd(b, namesEnd(b, total), total)
}

// formatsEnd is how many bytes of a message hold the list of formats at n and the number behind it.
func formatsEnd(b []byte, n, total int) int {
	if n+2 > min(len(b), total) {
		return min(n+2, total)
	}
	return min(n+2+2*int(binary.BigEndian.Uint16(b[n:]))+2, total)
}

// scan makes entries of the messages in b, as far as they are there, the first inside bytes of which
// are of a message that has begun before.
func (w *watch) scan(s *Session, b []byte, inside int, now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scanned = true
	at := min(inside, len(b))
	w.stream.write(w, b[:at], inside == at)
	for at < len(b) {
		m := b[at:]
		if len(m) < headerSize {
			break
		}
		typ, length, err := pgwire.ClientHeader(m)
		total := length + 1
		if err != nil || typ == pgwire.MsgTerminate || len(m) < s.need(typ, m, total) {
			break
		}
		n := min(total, len(m))
		w.message(typ, m[:n], total, now)
		at += n
	}
	if w.gate {
		w.gather()
	}
}

// message makes an entry of a message, if it is one that matters.
func (w *watch) message(typ byte, msg []byte, total int, now int64) {
	body := msg[headerSize:]
	var e *entry
	switch typ {
	case pgwire.MsgQuery:
		e = w.query(msg, total, now)
	case pgwire.MsgParse:
		e = w.parse(msg, total, now)
	case pgwire.MsgBind:
		e = w.bind(body, total, now)
	case pgwire.MsgExecute:
		e = w.execute(body, now)
	case pgwire.MsgClose:
		e = w.close(body, now)
	case pgwire.MsgFunctionCall:
		e = w.take(OpFunction, now)
		if len(body) >= 4 {
			e.OID = binary.BigEndian.Uint32(body)
			e.NParams, e.Params = w.values(body[4:], len(msg) == total)
		}
		w.copyIn = 0
	case pgwire.MsgCopyData:
		w.copyIn += int64(total - headerSize)
		return
	default:
		return
	}
	e.BytesIn += int64(total)
	w.ready = append(w.ready, e)
}

func (w *watch) query(msg []byte, total int, now int64) *entry {
	w.copyIn = 0
	w.expected.setStatement("", prep{}) // a Query ends it
	e := w.take(OpQuery, now)
	text := msg[headerSize:]
	if n := indexNUL(text); n >= 0 {
		text = text[:n]
	}
	kept := text[:min(len(text), inspectLimit-headerSize)]
	e.Text = string(kept)
	if len(msg) < total || len(kept) < len(text) {
		e.TextLen = int64(total - headerSize - 1)
		w.stream.begin(w, e, text, len(msg) == total)
	}
	return e
}

func (w *watch) parse(msg []byte, total int, now int64) *entry {
	e := w.take(OpParse, now)
	body := msg[headerSize:]
	end := indexNUL(body)
	if end < 0 {
		return e // malformed: the server's to say
	}
	tail := body[end+1:]
	p := prep{ok: true, name: string(nameKey(body[:end])), doubt: mayBeCut(body[:end])}
	if p.cut = indexNUL(tail); p.cut < 0 {
		p.cut = len(tail)
	}
	kept := tail[:min(len(tail), inspectLimit)]
	p.cut = min(p.cut, len(kept))
	p.tail = string(kept)
	e.Name, e.text = p.name, p
	if p.cut == len(kept) && len(msg) < total {
		w.stream.begin(w, e, tail, false)
	}
	w.expected.setStatement(p.name, p)
	return e
}

func (w *watch) bind(body []byte, total int, now int64) *entry {
	e := w.take(OpBind, now)
	portal := indexNUL(body)
	if portal < 0 {
		return e
	}
	rest := body[portal+1:]
	end := indexNUL(rest)
	if end < 0 {
		return e
	}
	b := w.newBound()
	b.bytes = int64(total)
	if portal > 0 {
		b.name, b.doubt = string(nameKey(body[:portal])), mayBeCut(body[:portal])
	}
	name := nameKey(rest[:end])
	b.text = w.statement(name)
	if b.stmt = b.text.name; !b.text.ok && end > 0 {
		b.stmt = string(name)
	}
	b.nparams, b.params = w.values(rest[end+1:], headerSize+len(body) == total)
	e.bound = b
	w.setPortal(&w.expected, b.name, b)
	return e
}

// execute makes an entry of an Execute. The portal's parameters and its statement's text are filled
// in when they are told.
func (w *watch) execute(body []byte, now int64) *entry {
	w.copyIn = 0
	e := w.take(OpExecute, now)
	end := indexNUL(body)
	if end < 0 {
		return e
	}
	name := nameKey(body[:end])
	if b := w.portal(name); b != nil {
		b.refs++
		e.bound = b
		if !b.executed && b.bytes > 0 {
			e.BytesIn, b.bytes = b.bytes, 0
		}
		e.Portal = b.name
	} else {
		e.Portal = string(name) // a cursor of SQL's
	}
	return e
}

func (w *watch) close(body []byte, now int64) *entry {
	e := w.take(OpClose, now)
	if len(body) < 2 {
		return e
	}
	name := body[1:]
	if n := indexNUL(name); n >= 0 {
		name = name[:n]
	}
	name = nameKey(name)
	if e.whole = body[0] == 'S'; e.whole {
		e.text = w.statement(name)
		e.Name = string(name)
		w.expected.setStatement(e.Name, prep{})
	} else {
		e.Portal = string(name)
		w.setPortal(&w.expected, e.Portal, nil)
	}
	return e
}

// values reads the parameters of a Bind or FunctionCall: their formats, and then, in full detail,
// themselves, as far as they are there.
func (w *watch) values(b []byte, whole bool) (n int, list []Value) {
	formats, b := int16s(b)
	if len(b) < 2 {
		return 0, nil
	}
	n = int(binary.BigEndian.Uint16(b))
	if w.detail != DetailFull || n == 0 {
		return n, nil
	}
	b = append([]byte{}, b[2:]...)
	for i := range n {
		if len(b) < 4 {
			break
		}
		v := Value{Binary: format(formats, i) == 1}
		size := int(int32(binary.BigEndian.Uint32(b)))
		b = b[4:]
		switch {
		case size < 0:
			v.Null = true
		case size > len(b):
			if whole {
				return n, list // malformed
			}
			v.Bytes, v.Len, b = b, size, nil
		default:
			v.Bytes, b = b[:size:size], b[size:]
		}
		list = append(list, v)
	}
	return n, list
}

// int16s cuts a counted list of 16-bit numbers off b.
func int16s(b []byte) (list, rest []byte) {
	if len(b) < 2 {
		return nil, nil
	}
	n := 2 * int(binary.BigEndian.Uint16(b))
	if n > len(b)-2 {
		return nil, nil
	}
	return b[2 : 2+n], b[2+n:]
}

// format is that of the i-th value: none given is text, one is for all.
func format(formats []byte, i int) uint16 {
	switch {
	case len(formats) == 2:
		return binary.BigEndian.Uint16(formats)
	case 2*i+2 <= len(formats):
		return binary.BigEndian.Uint16(formats[2*i:])
	}
	return 0
}

// gather lists what Start is to be told: all that was scanned, but for a Bind whose Execute is there,
// too.
func (w *watch) gather() {
	w.starts = w.starts[:0]
	for _, e := range w.ready[w.planned:] {
		if e.Op == OpExecute && e.bound != nil {
			e.bound.started = true
		}
	}
	for _, e := range w.ready[w.planned:] {
		switch {
		case e.Op == OpParse || e.Op == OpClose || e.Started:
			continue
		case e.Op == OpBind && (e.bound == nil || e.bound.started):
			continue
		}
		e.Started = true
		w.fill(e)
		w.number(e)
		w.starts = append(w.starts, &e.Statement)
	}
}

// fill completes an entry's description from its portal and statement.
func (w *watch) fill(e *entry) {
	p := e.text
	if b := e.bound; b != nil {
		p = b.text
		e.Name, e.Portal, e.NParams, e.Params = b.stmt, b.name, b.nparams, b.params
	}
	if !p.ok {
		return
	}
	e.Text, e.TextLen, e.TextSHA256 = p.tail[:p.cut], p.whole, p.sha
	if p.doubt && e.Message == "" {
		e.Message = nameInDoubt
	}
	if w.detail == DetailFull {
		e.Types = p.types()
	}
}

// types are the parameter types that a Parse declares.
func (p *prep) types() []uint32 {
	if p.cut+3 > len(p.tail) {
		return nil
	}
	rest := p.tail[p.cut+1:]
	n := int(rest[0])<<8 | int(rest[1])
	if rest = rest[2:]; n == 0 || len(rest) < 4*n {
		return nil
	}
	list := make([]uint32, n)
	for i := range list {
		list[i] = binary.BigEndian.Uint32([]byte(rest[4*i : 4*i+4]))
	}
	return list
}

// stream hashes the text of a message that is too long to be kept.
type stream struct {
	e    *entry // nil: none, or already told
	hash hash.Hash
	n    int64
}

func (t *stream) begin(w *watch, e *entry, text []byte, last bool) {
	*t = stream{e: e, hash: sha256.New()}
	t.write(w, text, last)
}

// write takes the next bytes of the message; last says that they are all of it.
func (t *stream) write(w *watch, b []byte, last bool) {
	if t.e == nil {
		return
	}
	if n := indexNUL(b); n >= 0 {
		b, last = b[:n], true
	}
	t.hash.Write(b)
	t.n += int64(len(b))
	if !last {
		return
	}
	e, sum := t.e, hex.EncodeToString(t.hash.Sum(nil))
	t.e, t.hash = nil, nil
	e.TextLen, e.TextSHA256 = t.n, sum
	if e.Op == OpParse {
		e.text.whole, e.text.sha = t.n, sum
		if p, ok := w.expected.statement([]byte(e.text.name)); ok && p.tail == e.text.tail {
			w.expected.setStatement(e.text.name, e.text)
		}
	}
}
