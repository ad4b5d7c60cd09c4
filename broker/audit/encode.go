package audit

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// limits caps what one line holds, in bytes, or in elements for list and values.
type limits struct{ text, value, values, name, list, pairs int }

// Caps of a line. maxLine counts the line without its LF.
const (
	defaultText = 16 << 10
	maxValue    = 1 << 10
	maxValues   = 100
	maxName     = 1 << 10
	maxList     = 32
	maxPairs    = 1000 // start-up parameters: the packet has 10 000 bytes at most
	maxLine     = 256 << 10

	// maxHead is more than the fields before `time` can take: v, seq, prev.
	maxHead = 160
)

func newLimits(text int) limits {
	return limits{text: text, value: maxValue, values: maxValues, name: maxName, list: maxList, pairs: maxPairs}
}

// halved is the next smaller set, for a line that escapes made too long. It ends at so little of
// everything that any record fits.
func (l limits) halved() limits {
	return limits{text: l.text / 2, value: l.value / 2, values: l.values/2 + 1, name: l.name/2 + 1, list: l.list/2 + 1, pairs: l.pairs/2 + 1}
}

// encoder turns records into the part of a line from `time` on. It is used by one goroutine.
type encoder struct {
	node    string
	limits  limits
	privacy privacy
	texts   texts
	line    line
}

// body encodes r, and lost when it is not zero. The result is valid until the next call; it starts
// with the quote of "time" and ends with the closing brace. It never exceeds maxLine - maxHead.
func (e *encoder) body(r *Record, lost uint64) []byte {
	lim := e.limits
	var st clean
	if r.Stmt != nil {
		st = e.privacy.rest(r.Stmt, e.texts.text(e.privacy, r.Stmt))
	}
	for {
		e.line.reset(lim)
		e.record(r, st, lost)
		if len(e.line.b) <= maxLine-maxHead {
			return e.line.b
		}
		lim = lim.halved()
	}
}

func (e *encoder) record(r *Record, st clean, lost uint64) {
	l := &e.line
	l.at(r.Time)
	if r.refs != nil {
		e.known(r, lost)
	} else {
		e.opening(r, lost)
	}
	l.rule(r.Rule)
	l.requested(e.privacy.requested(r.Requested))
	l.granted(r.Granted)
	l.upstream(r.Upstream)
	l.setup(r.Setup)
	l.denial(r.Denial)
	l.shadow(r.Shadow)
	l.stmt(r.Stmt, st)
	l.copied(r.Copy)
	l.cancel(r.Cancel)
	l.action(r.Action)
	l.reload(r.Reload)
	l.mint(r.Mint)
	l.end(r.End)
	l.prunedHead(r.pruned)
	l.yes("cut", l.cut)
	l.close()
}

// opening writes the fields behind the time, up to the references.
func (e *encoder) opening(r *Record, lost uint64) {
	l := &e.line
	l.origin(e.node, r.Event)
	l.some("lost", int64(lost))
	l.str("sid", r.SID)
	l.client(r.Client)
	l.cert(r.Cert)
	l.str("cert_sha256", r.CertSHA256)
	l.str("map", r.Map)
	l.str("role", r.Role)
	l.str("database", r.Database)
}

// known is opening for a statement with its session's refs: from their memory if need be, since this
// part of its line is the same in all of a session's. What had to be cut depends on the caps and is not
// remembered.
func (e *encoder) known(r *Record, lost uint64) {
	l, refs := &e.line, r.refs
	whole := lost == 0 && l.lim == e.limits
	if whole && refs.text != nil {
		l.b = append(l.b, refs.text...)
		return
	}
	from := len(l.b)
	r.SID, r.CertSHA256, r.Map, r.Role, r.Database = refs.SID, refs.CertSHA256, refs.Map, refs.Role, refs.Database
	if e.opening(r, lost); whole && !l.cut {
		refs.text = bytes.Clone(l.b[from:])
	}
}

// start writes the fields that every line has, from time on.
func (e *line) start(t time.Time, node string, ev Event) {
	e.at(t)
	e.origin(node, ev)
}

func (e *line) at(t time.Time) {
	e.b = append(e.b, `"time":"`...)
	e.time(t)
	e.b = append(e.b, '"')
}

func (e *line) origin(node string, ev Event) {
	e.str("node", node)
	e.key("event") // one of ours: never b64, so that parseHead finds it
	e.b = appendQuoted(e.b, strings.ToValidUTF8(e.name(string(ev)), "?"))
}

// appendHead writes the fields that chain a line to the one before it.
func appendHead(dst []byte, seq int64, prev hash) []byte {
	dst = append(dst, `{"v":1,"seq":`...)
	dst = strconv.AppendInt(dst, seq, 10)
	dst = append(dst, `,"prev":"`...)
	dst = prev.appendHex(dst)
	return append(dst, '"', ',')
}
