package pgwire

import (
	"encoding/binary"
	"strings"

	"github.com/jackc/pgproto3/v2"
)

// maxText is the longest field of an error or notice the broker sends, in bytes: libpq before 14
// takes an ErrorResponse above 30,000 bytes for a lost connection.
const maxText = 4 << 10

// clean makes s safe to encode: PostgreSQL's strings end at the first NUL, so what follows one
// would become another field. In text that the broker words itself (ascii) every control and every
// byte above 0x7e becomes '?' as well, whatever encoding the client reads (W16), and it is cut at
// maxText. Both pgproto3 versions encode any byte as it is.
func clean(s string, ascii bool) string {
	if ascii && len(s) > maxText {
		s = s[:maxText]
	}
	bad := func(c byte) bool { return c == 0 || ascii && (c < ' ' || c > '~') }
	for i := 0; i < len(s); i++ {
		if bad(s[i]) {
			return replaceFrom(s, i, bad)
		}
	}
	return s
}

func replaceFrom(s string, first int, bad func(byte) bool) string {
	b := []byte(s)
	for i := first; i < len(b); i++ {
		if bad(b[i]) {
			b[i] = '?'
		}
	}
	return string(b)
}

// appendV2 appends m as pgproto3/v2 encodes it. It fails only above 1 GiB, which no message here
// can reach; then nothing is appended.
func appendV2(dst []byte, m pgproto3.BackendMessage) []byte {
	out, err := m.Encode(dst)
	if err != nil {
		return dst
	}
	return out
}

// response is e as a message, cleaned, without the fields the broker never sends.
func (e *Error) response(fallback Severity) pgproto3.ErrorResponse {
	severity, code := string(e.Severity), e.Code
	if severity == "" {
		severity = string(fallback)
	}
	if len(code) != 5 {
		code = InternalError
	}
	severity = clean(severity, true)
	return pgproto3.ErrorResponse{
		Severity: severity, SeverityUnlocalized: severity,
		Code: clean(code, true), Message: clean(e.Message, true),
		Detail: clean(e.DetailText, true), Hint: clean(e.HintText, true),
	}
}

// AppendError appends an ErrorResponse with fields S, V, C, M and, when set, D and H.
func AppendError(dst []byte, e *Error) []byte {
	m := e.response(Err)
	return appendV2(dst, &m)
}

// AppendNotice appends a NoticeResponse with the same fields.
func AppendNotice(dst []byte, e *Error) []byte {
	m := pgproto3.NoticeResponse(e.response(Notice))
	return appendV2(dst, &m)
}

// AppendAuthenticationOk appends the end of authentication.
func AppendAuthenticationOk(dst []byte) []byte {
	return appendV2(dst, &pgproto3.AuthenticationOk{})
}

// AppendParameterStatus appends a reported setting. The value keeps its encoding; it is a server's.
func AppendParameterStatus(dst []byte, name, value string) []byte {
	return appendV2(dst, &pgproto3.ParameterStatus{Name: clean(name, false), Value: clean(value, false)})
}

// AppendBackendKeyData appends the key for cancel requests. A key without a secret is left out:
// clients take its absence for "cannot cancel", an empty one for a broken message (W9).
func AppendBackendKeyData(dst []byte, key CancelKey) []byte {
	switch {
	case len(key.Secret) == 0:
		return dst
	case len(key.Secret) == minSecret:
		return appendV2(dst, &pgproto3.BackendKeyData{
			ProcessID: key.PID, SecretKey: binary.BigEndian.Uint32(key.Secret),
		})
	}
	dst, at := begin(dst, MsgBackendKeyData)
	dst = binary.BigEndian.AppendUint32(dst, key.PID)
	return end(append(dst, key.Secret...), at)
}

// AppendReadyForQuery appends the end of a request; status is TxIdle, TxActive or TxFailed.
func AppendReadyForQuery(dst []byte, status byte) []byte {
	return appendV2(dst, &pgproto3.ReadyForQuery{TxStatus: status})
}

// AppendNegotiateProtocolVersion appends the answer to a newer minor version or to extensions: the
// full version spoken, then every name not understood (W6). pgproto3/v2 has no such message.
func AppendNegotiateProtocolVersion(dst []byte, v Version, unknown []string) []byte {
	dst, at := begin(dst, MsgNegotiateVersion)
	dst = binary.BigEndian.AppendUint32(dst, uint32(v))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(unknown)))
	for _, name := range unknown {
		dst = appendCString(dst, name)
	}
	return end(dst, at)
}

// AppendEmpty appends a message without a body: ParseComplete, BindComplete, CloseComplete,
// NoData, EmptyQueryResponse, PortalSuspended, or a client's Sync, Flush, CopyDone, Terminate.
func AppendEmpty(dst []byte, typ byte) []byte {
	return append(dst, typ, 0, 0, 0, 4)
}

// AppendCommandComplete appends the end of a statement with its tag, "SELECT 3".
func AppendCommandComplete(dst []byte, tag string) []byte {
	dst, at := begin(dst, MsgCommandComplete)
	return end(appendCString(dst, tag), at)
}

// AppendQuery appends a simple query.
func AppendQuery(dst []byte, sql string) []byte {
	dst, at := begin(dst, MsgQuery)
	return end(appendCString(dst, sql), at)
}

// AppendParse appends a Parse with the parameter types given; the others are left to the server.
func AppendParse(dst []byte, name, sql string, types []uint32) []byte {
	dst, at := begin(dst, MsgParse)
	dst = appendCString(appendCString(dst, name), sql)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(types)))
	for _, oid := range types {
		dst = binary.BigEndian.AppendUint32(dst, oid)
	}
	return end(dst, at)
}

// AppendClose appends a Close; kind is 'S' for a statement, 'P' for a portal.
func AppendClose(dst []byte, kind byte, name string) []byte {
	dst, at := begin(dst, MsgClose)
	return end(appendCString(append(dst, kind), name), at)
}

// AppendDescribe appends a Describe; kind is 'S' for a statement, 'P' for a portal.
func AppendDescribe(dst []byte, kind byte, name string) []byte {
	dst, at := begin(dst, MsgDescribe)
	return end(appendCString(append(dst, kind), name), at)
}

// Column describes one column in a RowDescription.
type Column struct {
	Name   string
	Type   uint32 // OID: 25 is text, 20 is bigint
	Size   int16  // of the type in bytes, -1 when it varies
	Format int16  // 0 is text, 1 binary
}

// AppendRowDescription appends the head of a result of no table.
func AppendRowDescription(dst []byte, columns []Column) []byte {
	dst, at := begin(dst, MsgRowDescription)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(columns)))
	for _, c := range columns {
		dst = appendCString(dst, c.Name)
		dst = binary.BigEndian.AppendUint32(dst, 0) // table
		dst = binary.BigEndian.AppendUint16(dst, 0) // column number
		dst = binary.BigEndian.AppendUint32(dst, c.Type)
		dst = binary.BigEndian.AppendUint16(dst, uint16(c.Size))
		dst = append(dst, 0xff, 0xff, 0xff, 0xff) // type modifier: none
		dst = binary.BigEndian.AppendUint16(dst, uint16(c.Format))
	}
	return end(dst, at)
}

// AppendDataRow appends one row of values in their columns' formats; nil is NULL.
func AppendDataRow(dst []byte, values []*string) []byte {
	dst, at := begin(dst, MsgDataRow)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(values)))
	for _, v := range values {
		if v == nil {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(*v)))
		dst = append(dst, *v...)
	}
	return end(dst, at)
}

// appendCString appends s and its terminator; a NUL within s would end it early.
func appendCString(dst []byte, s string) []byte {
	if strings.IndexByte(s, 0) >= 0 {
		s = clean(s, false)
	}
	return append(append(dst, s...), 0)
}

// begin appends a message's type and room for its length; end fills that in.
func begin(dst []byte, typ byte) ([]byte, int) {
	return append(dst, typ, 0, 0, 0, 0), len(dst) + 1
}

func end(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at))
	return dst
}
