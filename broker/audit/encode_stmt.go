package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"unicode/utf8"
)

// stmt writes a statement; c holds its text and message as they may be recorded.
func (e *line) stmt(s *Stmt, c clean) {
	if s == nil {
		return
	}
	e.open("stmt")
	e.some("id", int64(s.ID))
	e.str("phase", string(s.Phase))
	e.str("op", s.Op)
	e.some("oid", int64(s.OID))
	e.str("name", s.Name)
	e.str("portal", s.Portal)
	e.text(s, c)
	e.some("nparams", int64(s.NParams))
	e.types(s.Types)
	e.params(c.params)
	if s.Phase != PhaseStart {
		e.outcome(s, c.message)
	}
	e.yes("redacted", c.redacted)
	e.close()
}

// text writes the statement's text, and when that is not the whole its length and hash.
func (e *line) text(s *Stmt, c clean) {
	text := cutRune(c.text, e.lim.text)
	switch {
	case text == "":
	case utf8.ValidString(text):
		e.key("text")
		e.b = appendQuoted(e.b, text)
	default:
		e.key("text_b64")
		e.b = appendB64(e.b, text)
	}
	whole := max(s.TextLen, int64(len(s.Text)))
	streamed := whole > int64(len(s.Text))
	if streamed || len(text) < len(c.text) {
		e.int("text_len", whole)
		e.yes("truncated", s.Text != "")
	}
	switch {
	case streamed:
		e.str("text_sha256", c.sha256)
	case len(text) < len(c.text) && c.sum != "":
		e.str("text_sha256", c.sum)
	case len(text) < len(c.text):
		e.sum("text_sha256", c.text)
	}
}

// sum writes the SHA-256 of v.
func (e *line) sum(k, v string) {
	h := sha256.Sum256([]byte(v))
	e.key(k)
	e.b = append(e.b, '"')
	e.b = hex.AppendEncode(e.b, h[:])
	e.b = append(e.b, '"')
}

func (e *line) types(oids []uint32) {
	if len(oids) == 0 {
		return
	}
	e.key("types")
	e.b = append(e.b, '[')
	for _, oid := range oids[:min(len(oids), e.lim.values)] {
		e.comma()
		e.b = strconv.AppendUint(e.b, uint64(oid), 10)
	}
	e.b = append(e.b, ']')
}

func (e *line) params(vs []Value) {
	if len(vs) == 0 {
		return
	}
	e.key("params")
	e.b = append(e.b, '[')
	for _, v := range vs[:min(len(vs), e.lim.values)] {
		e.comma()
		e.value(v)
	}
	e.b = append(e.b, ']')
}

// value writes a parameter: null, a string, {"b64":…}, or its head with length and hash.
func (e *line) value(v Value) {
	s := string(v.Bytes)
	head := cutRune(s, e.lim.value)
	text := !v.Binary && utf8.ValidString(head)
	switch {
	case v.Null:
		e.b = append(e.b, "null"...)
	case len(head) < len(s) || v.Len > len(s):
		e.cutValue(s, head, v.Len, text)
	case text:
		e.b = appendQuoted(e.b, s)
	default:
		e.b = append(e.b, `{"b64":`...)
		e.b = appendB64(e.b, s)
		e.b = append(e.b, '}')
	}
}

// cutValue writes the head of a value whose hash is known when s is all of it; else whole is its
// length.
func (e *line) cutValue(s, head string, whole int, text bool) {
	e.b = append(e.b, '{')
	if text {
		e.key("cut")
		e.b = appendQuoted(e.b, head)
	} else {
		e.key("cut_b64")
		e.b = appendB64(e.b, head)
	}
	e.int("len", int64(max(whole, len(s))))
	if whole <= len(s) {
		e.sum("sha256", s)
	}
	e.close()
}

// outcome writes what came of the statement. Counts are written when zero too: they are known.
func (e *line) outcome(s *Stmt, message string) {
	e.list("tags", s.Tags)
	e.some("ntags", int64(s.NTags))
	e.str("sqlstate", s.SQLState)
	e.str("message", message)
	e.int("rows", s.Rows)
	e.int("rows_out", s.RowsOut)
	e.int("bytes_in", s.BytesIn)
	e.int("bytes_out", s.BytesOut)
	e.us("queue_us", s.Queue)
	e.us("exec_us", s.Exec)
	if s.Tx != 0 {
		e.str("tx", string(rune(s.Tx)))
	}
	e.yes("undone", s.Undone)
	e.undoes(s.Undoes, s.Perhaps)
}

// undoes writes from which statement on the session's were rolled back.
func (e *line) undoes(from uint64, perhaps bool) {
	if perhaps {
		e.some("may_undo", int64(from))
	} else {
		e.some("undoes", int64(from))
	}
}
