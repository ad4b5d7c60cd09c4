package pgwire

import (
	"encoding/binary"
	"fmt"
)

// Types of client messages.
const (
	MsgBind         = 'B'
	MsgClose        = 'C'
	MsgCopyData     = 'd' // also from the server
	MsgCopyDone     = 'c' // also from the server
	MsgCopyFail     = 'f'
	MsgDescribe     = 'D'
	MsgExecute      = 'E'
	MsgFlush        = 'H'
	MsgFunctionCall = 'F'
	MsgParse        = 'P'
	MsgQuery        = 'Q'
	MsgSync         = 'S'
	MsgTerminate    = 'X'
)

// Types of server messages.
const (
	MsgAuthentication       = 'R'
	MsgBackendKeyData       = 'K'
	MsgBindComplete         = '2'
	MsgCloseComplete        = '3'
	MsgCommandComplete      = 'C'
	MsgCopyInResponse       = 'G'
	MsgCopyOutResponse      = 'H'
	MsgCopyBothResponse     = 'W'
	MsgDataRow              = 'D'
	MsgEmptyQueryResponse   = 'I'
	MsgErrorResponse        = 'E'
	MsgFunctionCallResponse = 'V'
	MsgNegotiateVersion     = 'v'
	MsgNoData               = 'n'
	MsgNoticeResponse       = 'N'
	MsgNotification         = 'A'
	MsgParameterDescription = 't'
	MsgParameterStatus      = 'S'
	MsgParseComplete        = '1'
	MsgPortalSuspended      = 's'
	MsgReadyForQuery        = 'Z'
	MsgRowDescription       = 'T'
)

// Transaction states in ReadyForQuery.
const (
	TxIdle   = 'I'
	TxActive = 'T'
	TxFailed = 'E'
)

// HeaderSize is the type byte and the length word of a message, in bytes.
const HeaderSize = 5

// Largest values of the length word, which counts itself: PQ_LARGE_MESSAGE_LIMIT and
// PQ_SMALL_MESSAGE_LIMIT in PostgreSQL's libpq/libpq.h (W31).
const (
	maxLarge = 0x3fffffff - 1
	maxSmall = 10_000
)

// Header splits the first HeaderSize bytes of b into the message type and the value of the length
// word, which counts itself but not the type: the message has length+1 bytes. A length beyond
// 2³¹-1 comes out negative, as PostgreSQL reads it. It panics when b is shorter.
func Header(b []byte) (typ byte, length int) {
	_ = b[HeaderSize-1]
	return b[0], int(int32(binary.BigEndian.Uint32(b[1:])))
}

// ClientLimit returns the largest length word PostgreSQL accepts in a client message of type t,
// and whether the type exists after authentication (W31).
func ClientLimit(t byte) (max int, known bool) {
	switch t {
	case MsgQuery, MsgParse, MsgBind, MsgFunctionCall, MsgCopyData:
		return maxLarge, true
	case MsgClose, MsgDescribe, MsgExecute, MsgFlush, MsgSync, MsgTerminate, MsgCopyDone, MsgCopyFail:
		return maxSmall, true
	}
	return 0, false
}

// ClientHeader is Header for a message of an authenticated client, with its limits (W31). The
// error is an *Error, FATAL 08P01, for an unknown type, and wraps ErrMalformed for a length out of
// range: close without a word.
func ClientHeader(b []byte) (typ byte, length int, err error) {
	typ, length = Header(b)
	max, known := ClientLimit(typ)
	if !known {
		return typ, length, protocolError(ProtocolViolation, "invalid frontend message type %d", typ)
	}
	if length < 4 || length > max {
		return typ, length, fmt.Errorf("%w: length %d of message type %d", ErrMalformed, length, typ)
	}
	return typ, length, nil
}
