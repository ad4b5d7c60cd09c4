package audit

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Row is a record as a table shows it. Its strings may hold anything a client sent: a terminal gets
// them through Printable.
type Row struct {
	Time     string // as written
	Event    string
	SID      string
	Cert     string // SHA-256, hex
	Map      string
	Who      string // the certificate's CN, else its subject, else the beginning of its SHA-256
	Role     string
	Database string
	Client   string
	SQLState string
	Detail   string // statement, reason, verb
	Rows     int64
	Exec     time.Duration
}

// Row is m as a table shows it.
func (m *Match) Row() Row {
	if m.v == nil {
		return m.row
	}
	m.v.finish()
	r := rowOf(m.v, m.session)
	if m.first != nil {
		first := rowOf(m.first, m.session)
		r.Time, r.Detail = first.Time, joinWords(first.Detail, r.Detail)
	}
	if m.Unknown {
		r.Detail = joinWords("outcome unknown", r.Detail)
	}
	return r
}

// ParseRow reads a line of the record by itself. It reports false for what is none.
func ParseRow(text []byte) (Row, bool) {
	h, ok := parseHead(text)
	if !ok {
		return Row{}, false
	}
	var v view
	v.read(h)
	return rowOf(&v, nil), true
}

// rowOf reads a row out of a line; k is its session's, when known.
func rowOf(v *view, k *known) Row {
	r := Row{
		Time: string(v.time), Event: unquote(v.event), SID: unquote(v.sid), Role: unquote(v.role),
		Cert: unquote(v.cert), Map: unquote(v.rule),
		Database: unquote(v.database), Client: string(v.client), SQLState: string(v.sqlstate),
		Rows: max(v.rows, v.rowsOut), Exec: time.Duration(v.exec) * time.Microsecond,
	}
	if r.Role == "" {
		r.Role = unquote(v.user)
	}
	r.Who = whoOf(v)
	if k != nil && len(v.cn)+len(v.subject)+len(v.spiffe) == 0 {
		r.Who = k.who
	}
	r.Detail = detailOf(v)
	return r
}

// whoOf names a certificate for people.
func whoOf(v *view) string {
	switch {
	case len(v.cn) > 0:
		return unquote(v.cn)
	case len(v.subject) > 0:
		return unquote(v.subject)
	case len(v.spiffe) > 0:
		return unquote(v.spiffe)
	}
	return string(v.cert[:min(len(v.cert), 12)])
}

// detailOf is what matters most in a line besides who, where and when.
func detailOf(v *view) string {
	switch Event(v.event) {
	case Statement:
		return statementDetail(v)
	case SessionDenied:
		d := unquote(v.reason)
		if v.count > 1 {
			d += fmt.Sprintf(" (%d times)", v.count)
		}
		return d
	case SessionClose:
		return joinWords(fmt.Sprintf("%s after %v, %d statements", unquote(v.reason), time.Duration(v.duration)*time.Microsecond, v.statements), undoDetail(v))
	case CopyDone:
		return fmt.Sprintf("COPY %s, %d rows", unquote(v.op), v.rows)
	case CancelRequest:
		return unquote(v.result)
	case AdminAction:
		return joinWords(unquote(v.verb), unquote(v.result), unquote(v.message))
	case ConfigReload, TrustReload:
		return joinWords(unquote(v.cause), unquote(v.result), unquote(v.message))
	case Minted:
		return "serial " + unquote(v.serverSerial)
	case checkpointEvent:
		return unquote(v.cause)
	}
	return ""
}

func statementDetail(v *view) string {
	text := unquote(v.text)
	if v.textB64 != nil {
		if b, err := base64.StdEncoding.DecodeString(string(v.textB64)); err == nil {
			text = strings.ToValidUTF8(string(b), "\ufffd")
		}
	}
	if text == "" && string(v.op) != "query" && string(v.op) != "execute" {
		text = unquote(v.op)
	}
	return joinWords(text, unquote(v.message), undoDetail(v))
}

// undoDetail is what a line says of statements that were rolled back.
func undoDetail(v *view) string {
	switch {
	case v.undone:
		return "rolled back"
	case v.undoes > 0:
		return fmt.Sprintf("rolls back statements %d and on", v.undoes)
	case v.mayUndo > 0:
		return fmt.Sprintf("rolls back statements %d and on, as far as nothing was committed before", v.mayUndo)
	}
	return ""
}

// joinWords joins what is not empty.
func joinWords(words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), ": ")
}

// Printable is s as one line that a terminal shows and does not obey: whitespace becomes a space,
// everything else that a line of the record would escape is shown as it stands there.
func Printable(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	q := appendQuoted(nil, strings.ToValidUTF8(s, "\ufffd"))
	q = bytes.ReplaceAll(q[1:len(q)-1], []byte(`\"`), []byte(`"`))
	return string(bytes.ReplaceAll(q, []byte(`\\`), []byte(`\`)))
}

// sortedStarts orders what is left by the order of the lines.
func sortedStarts(m map[stmtKey]*start) []*start {
	return slices.SortedFunc(maps.Values(m), func(a, b *start) int {
		x, _ := parseHead(a.line)
		y, _ := parseHead(b.line)
		if c := bytes.Compare(x.time, y.time); c != 0 {
			return c
		}
		return int(x.seq - y.seq)
	})
}
