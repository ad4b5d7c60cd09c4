package pgwire

import (
	"errors"
	"fmt"

	pgproto3 "github.com/jackc/pgx/v5/pgproto3"
)

// Severity is the untranslated severity of an error or a notice, as field V carries it.
type Severity string

// PostgreSQL's severities. Err is "ERROR": the session goes on after it.
const (
	Fatal   Severity = "FATAL"
	Panic   Severity = "PANIC"
	Err     Severity = "ERROR"
	Warning Severity = "WARNING"
	Notice  Severity = "NOTICE"
	Debug   Severity = "DEBUG"
	Info    Severity = "INFO"
	Log     Severity = "LOG"
)

// ErrMalformed marks bytes that PostgreSQL answers by closing the connection without a word: a
// length out of range, a cancel request of the wrong size. Test with errors.Is.
var ErrMalformed = errors.New("malformed packet")

// Error is an ErrorResponse or NoticeResponse: what the broker says, or what a server said.
//
// Everything but Slug may reach a client, so an Error the broker makes holds facts about what the
// client itself sent, never rules, roles or which databases exist (W16).
type Error struct {
	Severity   Severity
	Code       string // SQLSTATE
	Message    string
	DetailText string
	HintText   string
	Slug       string // reason for log and audit (T89); not sent
}

// Error is the text for log and audit.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %s", e.Severity, e.Code, e.Message)
	if e.DetailText != "" {
		s += " (" + e.DetailText + ")"
	}
	return s
}

// SQLState returns the five-character code.
func (e *Error) SQLState() string { return e.Code }

// Reason returns the slug for log, audit and metrics.
func (e *Error) Reason() string { return e.Slug }

// Public returns the primary message.
func (e *Error) Public() string { return e.Message }

// Detail returns field D, often empty.
func (e *Error) Detail() string { return e.DetailText }

// Hint returns field H, often empty.
func (e *Error) Hint() string { return e.HintText }

// protocolError is a FATAL that PostgreSQL would send for a bad start-up packet.
func protocolError(code, format string, args ...any) *Error {
	return &Error{Severity: Fatal, Code: code, Message: fmt.Sprintf(format, args...), Slug: "protocol"}
}

// ParseError decodes the body of an `E` or `N` message, without its type and length. The caller
// bounds its size. A body that does not parse is an error that wraps ErrMalformed.
func ParseError(body []byte) (e Error, err error) {
	defer recoverMalformed(&err)
	var m pgproto3.ErrorResponse
	if err := m.Decode(body); err != nil {
		return Error{}, fmt.Errorf("error response: %w: %w", ErrMalformed, err)
	}
	severity := m.SeverityUnlocalized
	if severity == "" {
		severity = m.Severity // before PostgreSQL 9.6, and some poolers
	}
	return Error{
		Severity: Severity(severity), Code: m.Code, Message: m.Message,
		DetailText: m.Detail, HintText: m.Hint,
	}, nil
}

// recoverMalformed turns the panic of a decoder into an error. Both pgproto3 versions have had
// panics on crafted bodies; an unrecovered one would end every session.
func recoverMalformed(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("decoder panic: %w: %v", ErrMalformed, r)
	}
}
