package fakepg

import (
	"fmt"
	"strings"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Messages makes server messages from words, in wire-protocol's short form:
//
//	1 2 3 n s I c     messages without a body, by type
//	R                 AuthenticationOk
//	ZI ZT ZE          ReadyForQuery
//	E22012 F57P01     ErrorResponse, ERROR or FATAL
//	N01000            NoticeResponse
//	C or C=INSERT_0_1 CommandComplete; the tag is SELECT 1, or as given with _ for spaces
//	T                 RowDescription of one text column
//	D or D=x          DataRow of one column, 1 or x
//	t                 ParameterDescription without parameters
//	G H W             CopyIn, CopyOut, CopyBothResponse of one text column
//	d or d=x          CopyData, 1 or x, and a newline
//	S=name=value      ParameterStatus
//	A=channel=payload NotificationResponse of pid 4711
//	V                 FunctionCallResponse, NULL
func Messages(notation string) ([]byte, error) {
	var b []byte
	for _, word := range strings.Fields(notation) {
		next, err := appendWord(b, word)
		if err != nil {
			return nil, fmt.Errorf("%q in %q: %w", word, notation, err)
		}
		b = next
	}
	return b, nil
}

func appendWord(b []byte, word string) ([]byte, error) {
	typ, rest := word[0], word[1:]
	value, given := strings.CutPrefix(rest, "=")
	if given {
		return appendValue(b, typ, value)
	}
	switch typ {
	case 'Z':
		if len(rest) == 1 {
			return pgwire.AppendReadyForQuery(b, rest[0]), nil
		}
	case 'E', 'F', 'N':
		if len(rest) == 5 {
			return appendError(b, typ, rest), nil
		}
	default:
		if rest == "" {
			return appendPlain(b, typ)
		}
	}
	return nil, fmt.Errorf("not in the notation")
}

func appendError(b []byte, typ byte, code string) []byte {
	e := &pgwire.Error{Severity: pgwire.Err, Code: code, Message: "scripted " + code}
	switch typ {
	case 'F':
		e.Severity = pgwire.Fatal
	case 'N':
		e.Severity = pgwire.Notice
		return pgwire.AppendNotice(b, e)
	}
	return pgwire.AppendError(b, e)
}

func appendPlain(b []byte, typ byte) ([]byte, error) {
	switch typ {
	case '1', '2', '3', 'n', 's', 'I', 'c':
		return pgwire.AppendEmpty(b, typ), nil
	case 'R':
		return pgwire.AppendAuthenticationOk(b), nil
	case 'T':
		return pgwire.AppendRowDescription(b, []pgwire.Column{{Name: "?column?", Type: 25, Size: -1}}), nil
	case 't':
		return appendBody(b, 't', []byte{0, 0}), nil
	case 'G', 'H', 'W':
		return appendBody(b, typ, []byte{0, 0, 1, 0, 0}), nil
	case 'V':
		return appendBody(b, 'V', []byte{0xff, 0xff, 0xff, 0xff}), nil
	case 'C':
		return appendValue(b, 'C', "SELECT_1")
	case 'D', 'd':
		return appendValue(b, typ, "1")
	}
	return nil, fmt.Errorf("not in the notation")
}

func appendValue(b []byte, typ byte, value string) ([]byte, error) {
	name, second, _ := strings.Cut(value, "=")
	switch typ {
	case 'C':
		return pgwire.AppendCommandComplete(b, strings.ReplaceAll(value, "_", " ")), nil
	case 'D':
		return pgwire.AppendDataRow(b, []*string{&value}), nil
	case 'd':
		return appendBody(b, 'd', []byte(value+"\n")), nil
	case 'S':
		return pgwire.AppendParameterStatus(b, name, second), nil
	case 'A':
		return appendBody(b, 'A', []byte("\x00\x00\x12\x67"+name+"\x00"+second+"\x00")), nil
	}
	return nil, fmt.Errorf("takes no value")
}

// Shape is the notation of messages, without values: what traces are compared by.
func Shape(list []Message) string {
	words := make([]string, len(list))
	for i, m := range list {
		words[i] = m.shape()
	}
	return strings.Join(words, " ")
}

func (m Message) shape() string {
	switch m.Type {
	case 'Z':
		return "Z" + string(m.Body)
	case 'E', 'N':
		e, err := pgwire.ParseError(m.Body)
		if err != nil {
			return string(m.Type) + "?"
		}
		if m.Type == 'E' && e.Severity != pgwire.Err {
			return "F" + e.Code
		}
		return string(m.Type) + e.Code
	}
	return string(m.Type)
}

// shapeOf drops the values from a notation.
func shapeOf(notation string) string {
	words := strings.Fields(notation)
	for i, word := range words {
		words[i], _, _ = strings.Cut(word, "=")
	}
	return strings.Join(words, " ")
}
