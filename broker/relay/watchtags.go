package relay

import (
	"bytes"
	"encoding/binary"
	"slices"
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
	switch {
	case e.Tags == nil:
		e.tag[0] = w.tag
		e.Tags = e.tag[:1:1]
	case len(e.Tags) < firstTags:
		e.Tags = append(e.Tags, w.tag)
	default:
		e.moreTags(w.tag)
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

// firstTags is how many tags of one text are kept in their order. Behind them stand those that decide what the
// text leaves, each once: twelve at most, so that all of them fit into a list of the record.
const firstTags = 20

// moreTags takes a tag behind the first ones: what ends or begins a transaction takes its last place, so that
// what came after what is still to be seen.
func (e *entry) moreTags(tag string) {
	e.NTags = max(e.NTags, len(e.Tags)) + 1
	kept := e.Tags[firstTags:]
	switch tag {
	case "BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK", "PREPARE TRANSACTION":
		if i := slices.Index(kept, tag); i >= 0 {
			e.Tags = slices.Delete(e.Tags, firstTags+i, firstTags+i+1)
		}
	case "DEALLOCATE", "DEALLOCATE ALL", "DISCARD ALL", "CLOSE CURSOR", "CLOSE CURSOR ALL":
		if slices.Contains(kept, tag) {
			return
		}
	default:
		if !commitsItself(tag) || slices.ContainsFunc(kept, commitsItself) {
			return
		}
	}
	e.Tags = append(e.Tags, tag)
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
