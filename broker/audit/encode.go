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
	line    line
}

// body encodes r, and lost when it is not zero. The result is valid until the next call; it starts
// with the quote of "time" and ends with the closing brace. It never exceeds maxLine - maxHead.
func (e *encoder) body(r *Record, lost uint64) []byte {
	lim := e.limits
	st := e.privacy.statement(r.Stmt)
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

func (e *line) client(c *Client) {
	if c == nil {
		return
	}
	e.open("client")
	e.str("addr", c.Addr)
	e.str("proxy", c.Proxy)
	e.str("listener", c.Listener)
	e.str("tls", c.TLS)
	e.str("cipher", c.Cipher)
	e.str("group", c.Group)
	e.str("alpn", c.ALPN)
	e.str("sni", c.SNI)
	e.yes("direct_tls", c.DirectTLS)
	e.str("protocol", c.Protocol)
	e.str("app", c.App)
	e.close()
}

func (e *line) cert(c *Cert) {
	if c == nil {
		return
	}
	e.open("cert")
	e.str("sha256", c.SHA256)
	e.str("spki_sha256", c.SPKISHA256)
	e.str("root_sha256", c.RootSHA256)
	e.str("serial", c.Serial)
	e.str("issuer", c.Issuer)
	e.str("subject", c.Subject)
	e.str("cn", c.CN)
	e.list("o", c.O)
	e.list("ou", c.OU)
	e.list("email", c.Email)
	e.list("dns", c.DNS)
	e.list("uri", c.URI)
	e.list("ip", c.IP)
	e.str("spiffe", c.SPIFFE)
	if len(c.Ext) > 0 {
		e.pairs("ext", c.Ext, e.lim.list)
	}
	e.when("not_before", c.NotBefore)
	e.when("not_after", c.NotAfter)
	e.str("revocation", c.Revocation)
	e.list("tolerated", c.Tolerated)
	e.close()
}

func (e *line) rule(r *Rule) {
	if r == nil {
		return
	}
	e.open("rule")
	e.str("kind", r.Kind)
	e.str("name", r.Name)
	e.str("file", r.File)
	e.some("line", int64(r.Line))
	e.list("matched", r.Matched)
	e.list("captures", r.Captures)
	e.str("config_sha256", r.ConfigSHA256)
	e.close()
}

func (e *line) shadow(v *Shadow) {
	if v == nil {
		return
	}
	e.open("shadow")
	e.str("verdict", v.Verdict)
	e.list("differs", v.Differs)
	e.str("reason", v.Reason)
	if v.Rule != nil {
		e.str("kind", v.Rule.Kind)
		e.str("name", v.Rule.Name)
		e.str("file", v.Rule.File)
		e.some("line", int64(v.Rule.Line))
		e.str("config_sha256", v.Rule.ConfigSHA256)
	}
	e.str("role", v.Role)
	e.str("database", v.Database)
	e.str("admin", v.Admin)
	e.close()
}

func (e *line) requested(r *Requested) {
	if r == nil {
		return
	}
	e.open("requested")
	e.str("user", r.User)
	e.str("database", r.Database)
	e.pairs("params", r.Params, e.lim.pairs)
	e.close()
}

func (e *line) granted(g *Granted) {
	if g == nil {
		return
	}
	e.open("granted")
	e.str("role", g.Role)
	e.str("database", g.Database)
	e.str("pool_mode", g.PoolMode)
	e.str("level", string(g.Level))
	e.str("admin", g.Admin)
	e.when("expires", g.Expires)
	e.close()
}

func (e *line) upstream(u *Upstream) {
	if u == nil {
		return
	}
	e.open("upstream")
	e.str("name", u.Name)
	e.str("addr", u.Addr)
	e.some("conn", int64(u.Conn))
	e.some("pid", int64(u.PID))
	if u.Name != "" && u.Conn != 0 {
		e.bool("reused", u.Reused)
		e.int("generation", int64(u.Generation))
	}
	e.str("cert_serial", u.CertSerial)
	e.when("cert_not_after", u.CertNotAfter)
	e.close()
}

func (e *line) setup(s *Setup) {
	if s == nil {
		return
	}
	e.open("setup")
	e.us("tls_us", s.TLS)
	e.us("policy_us", s.Policy)
	e.us("queue_us", s.Queue)
	e.some("connect_us", s.Connect.Microseconds())
	e.close()
}

func (e *line) denial(d *Denial) {
	if d == nil {
		return
	}
	e.open("denial")
	e.str("stage", d.Stage)
	e.str("reason", d.Reason)
	e.str("sqlstate", d.SQLState)
	e.str("message", d.Message)
	e.str("detail", d.Detail)
	e.int("count", int64(max(d.Count, 1)))
	e.yes("undecidable", d.Undecidable)
	e.close()
}

func (e *line) copied(c *Copy) {
	if c == nil {
		return
	}
	e.open("copy")
	e.some("stmt", int64(c.Stmt))
	e.str("direction", c.Direction)
	e.str("format", c.Format)
	e.int("columns", int64(c.Columns))
	e.int("rows", c.Rows)
	e.int("bytes", c.Bytes)
	e.str("sqlstate", c.SQLState)
	e.us("exec_us", c.Exec)
	e.close()
}

func (e *line) cancel(c *Cancel) {
	if c == nil {
		return
	}
	e.open("cancel")
	e.str("addr", c.Addr)
	e.str("tls", c.TLS)
	e.str("cert_sha256", c.CertSHA256)
	e.some("stmt", int64(c.Stmt))
	e.some("pid", int64(c.PID))
	e.str("result", c.Result)
	e.close()
}

func (e *line) action(a *Action) {
	if a == nil {
		return
	}
	e.open("action")
	e.str("via", a.Via)
	if a.UID != nil {
		e.int("uid", int64(*a.UID))
	}
	e.str("phase", string(a.Phase))
	e.str("verb", a.Verb)
	e.list("args", a.Args)
	e.str("result", a.Result)
	e.str("error", a.Error)
	e.close()
}

func (e *line) reload(r *Reload) {
	if r == nil {
		return
	}
	e.open("reload")
	e.str("cause", r.Cause)
	e.str("listener", r.Listener)
	e.str("old_sha256", r.OldSHA256)
	e.str("new_sha256", r.NewSHA256)
	e.list("cas", r.CAs)
	e.list("crls", r.CRLs)
	e.str("result", r.Result)
	e.str("error", r.Error)
	e.int("ended", int64(r.Ended))
	e.close()
}

func (e *line) mint(m *Mint) {
	if m == nil {
		return
	}
	e.open("mint")
	e.str("upstream", m.Upstream)
	e.str("role", m.Role)
	e.str("serial", m.Serial)
	e.str("sha256", m.SHA256)
	e.when("not_after", m.NotAfter)
	e.close()
}

func (e *line) end(d *End) {
	if d == nil {
		return
	}
	e.open("end")
	e.str("reason", d.Reason)
	e.str("sqlstate", d.SQLState)
	e.str("message", d.Message)
	e.us("duration_us", d.Duration)
	e.int("statements", d.Statements)
	e.int("errors", d.Errors)
	e.int("cancels", d.Cancels)
	e.int("rows", d.Rows)
	e.int("bytes_in", d.BytesIn)
	e.int("bytes_out", d.BytesOut)
	e.close()
}

func (e *line) prunedHead(p *pruned) {
	if p == nil {
		return
	}
	e.open("pruned")
	e.str("stream", p.Stream)
	e.int("seq", p.Seq)
	e.when("time", p.Time)
	e.int("files", int64(p.Files))
	e.str("note", p.Note)
	e.close()
}

// appendHead writes the fields that chain a line to the one before it.
func appendHead(dst []byte, seq int64, prev hash) []byte {
	dst = append(dst, `{"v":1,"seq":`...)
	dst = strconv.AppendInt(dst, seq, 10)
	dst = append(dst, `,"prev":"`...)
	dst = prev.appendHex(dst)
	return append(dst, '"', ',')
}
