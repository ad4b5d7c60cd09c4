package relay

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/pgsignet/pgsignet/pgwire"
)

// This file reads what the end of a statement says of it: its command tag, and the data phase of a COPY.

// complete notes a CommandComplete.
func (w *watch) complete(e *entry, body []byte) {
	if n := indexNUL(body); n >= 0 {
		body = body[:n]
	}
	if string(body) != w.tag { // most are like the one before
		w.tag = tagString(body)
	}
	if e.Tags == nil {
		e.tag[0] = w.tag
		e.Tags = e.tag[:1:1]
	} else {
		e.Tags = append(e.Tags, w.tag)
	}
	verb, count := tagCount(body)
	switch string(verb) {
	case "INSERT", "UPDATE", "DELETE", "MERGE", "COPY":
		e.Rows += count
	case "SELECT":
		if e.RowsOut == 0 { // CREATE TABLE AS
			e.Rows += count
		}
	}
	if e.copy.state == copyIn {
		e.copy.rows = count
	}
}

// tagCount takes a command tag apart: its first word, and the number at its end, 0 when there is none.
func tagCount(tag []byte) (verb []byte, count int64) {
	verb = tag
	if n := bytes.IndexByte(tag, ' '); n >= 0 {
		verb = tag[:n]
	}
	for i, unit := len(tag)-1, int64(1); i >= 0 && tag[i] != ' '; i, unit = i-1, unit*10 {
		digit := tag[i] - '0'
		if digit > 9 || unit > 1e17 {
			return verb, 0
		}
		count += int64(digit) * unit
	}
	return verb, count
}

// commonTags are not allocated.
var commonTags = func() map[string]string {
	m := make(map[string]string)
	for _, tag := range []string{"BEGIN", "COMMIT", "ROLLBACK", "SET", "INSERT 0 1", "UPDATE 0", "UPDATE 1", "DELETE 0", "DELETE 1"} {
		m[tag] = tag
	}
	for i := range 101 {
		tag := "SELECT " + strconv.Itoa(i)
		m[tag] = tag
	}
	return m
}()

func tagString(b []byte) string {
	if tag, ok := commonTags[string(b)]; ok {
		return tag
	}
	return string(b)
}

// copyBegins notes the start of a COPY's data phase.
func (e *entry) copyBegins(typ byte, body []byte) {
	e.copy = copying{state: copyOut, from: clockNow()}
	switch typ {
	case pgwire.MsgCopyInResponse:
		e.copy.state = copyIn
	case pgwire.MsgCopyBothResponse:
		e.copy.state = copyBoth
	}
	if len(body) >= 3 {
		e.copy.binary = body[0] == 1
		e.copy.columns = int(binary.BigEndian.Uint16(body[1:]))
	}
}

// copyEnds tells of a COPY's data phase, if e is in one.
func (w *watch) copyEnds(e *entry, code string) {
	if e.copy.state == copyNone {
		return
	}
	c := e.copy
	e.copy = copying{}
	w.number(e)
	if c.state != copyOut {
		c.bytes += w.copyIn
		w.copyIn = 0
	}
	w.to.Copied(&Copy{
		Statement: e.ID, Direction: c.state.direction(), Binary: c.binary, Columns: c.columns, Rows: c.rows, Bytes: c.bytes,
		SQLState: code, Exec: since(clockNow(), c.from),
	})
}

func (c copyState) direction() string {
	return [...]string{copyNone: "", copyIn: "in", copyOut: "out", copyBoth: "both"}[c]
}
