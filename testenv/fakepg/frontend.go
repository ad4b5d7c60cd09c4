package fakepg

import (
	"encoding/binary"
	"slices"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Sequence joins client messages.
func Sequence(messages ...[]byte) []byte { return slices.Concat(messages...) }

// Query is a simple query.
func Query(sql string) []byte { return pgwire.AppendQuery(nil, sql) }

// Parse prepares a statement; parameter types are left to the server.
func Parse(name, sql string) []byte { return pgwire.AppendParse(nil, name, sql, nil) }

// Bind makes a portal of a statement, parameters and results as text.
func Bind(portal, statement string, params ...string) []byte {
	body := slices.Concat([]byte(portal), []byte{0}, []byte(statement), []byte{0, 0, 0})
	body = binary.BigEndian.AppendUint16(body, uint16(len(params)))
	for _, p := range params {
		body = binary.BigEndian.AppendUint32(body, uint32(len(p)))
		body = append(body, p...)
	}
	return appendBody(nil, pgwire.MsgBind, append(body, 0, 0))
}

// Execute runs a portal; rows is the most to return, 0 for all.
func Execute(portal string, rows uint32) []byte {
	return appendBody(nil, pgwire.MsgExecute, binary.BigEndian.AppendUint32(append([]byte(portal), 0), rows))
}

// CopyData is one piece of COPY data.
func CopyData(data string) []byte { return appendBody(nil, pgwire.MsgCopyData, []byte(data)) }

// CopyDone ends COPY data.
func CopyDone() []byte { return pgwire.AppendEmpty(nil, pgwire.MsgCopyDone) }

// Flush asks for the replies so far.
func Flush() []byte { return pgwire.AppendEmpty(nil, pgwire.MsgFlush) }

// Sync ends a batch.
func Sync() []byte { return pgwire.AppendEmpty(nil, pgwire.MsgSync) }

// appendBody appends one message.
func appendBody(b []byte, typ byte, body []byte) []byte {
	b = append(b, typ)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)+4))
	return append(b, body...)
}

// types lists the types of the messages in b: "P B E S".
func types(b []byte) string {
	var list []byte
	for len(b) >= pgwire.HeaderSize {
		typ, length := pgwire.Header(b)
		list = append(list, typ, ' ')
		b = b[length+1:]
	}
	return string(list)
}
