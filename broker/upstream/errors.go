package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Reasons of a LoginError, for log, audit and metrics.
const (
	ReasonUnreachable = "upstream_unreachable" // no address, no TCP connection, lost or timed out
	ReasonTLS         = "upstream_tls"         // no TLS, or a certificate that does not verify
	ReasonUnproven    = "upstream_unproven"    // the server let us in without our credential
	ReasonRefused     = "upstream_refused"     // the server said no
	ReasonStarting    = "upstream_starting"    // 57P03
	ReasonTarget      = "upstream_target"      // up, but not what Config.Target asks for
	ReasonProtocol    = "upstream_protocol"    // broke off the login in a way PostgreSQL does not
	ReasonCredential  = "upstream_credential"  // we have no credential to show
	ReasonRole        = "role_name"            // a role or database that no server could hold
)

// LoginError says why no connection was made. Its Error text is for log and audit and holds the
// server's words; what a client may see is SQLState and Public, and holds none (T70, W16).
type LoginError struct {
	code, reason, public, hint string

	addr  string // host:port it was about, "" when about none
	cause error
}

// Error is for log and audit; a server's own words in it are cleaned and cut.
func (e *LoginError) Error() string {
	s := e.reason
	if e.addr != "" {
		s += " " + e.addr
	}
	if all, ok := e.cause.(attempts); ok {
		return s + ": " + all.Error() // each of them is cleaned
	}
	return s + ": " + clean(e.cause.Error())
}

// Unwrap returns the cause.
func (e *LoginError) Unwrap() error { return e.cause }

// SQLState is the server's own, else 08006, 57P03 or 08004 (wire-protocol section 9).
func (e *LoginError) SQLState() string { return e.code }

// Reason is one of the Reason constants.
func (e *LoginError) Reason() string { return e.reason }

// Public is our text; it never holds the server's.
func (e *LoginError) Public() string { return e.public }

// Hint is what to change when the cause is known, else empty.
func (e *LoginError) Hint() string { return e.hint }

// maxErrorText bounds what a server can make us log, in bytes.
const maxErrorText = 1 << 10

// clean cuts s and replaces what is not printable ASCII, so that a hostile server cannot forge
// lines or fill the disk.
func clean(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// newError builds a LoginError about no particular address.
func newError(code, reason, public string, cause error) *LoginError {
	return &LoginError{code: code, reason: reason, public: public, cause: cause}
}

func unreachable(cause error) *LoginError {
	return newError(pgwire.ConnectionFailure, ReasonUnreachable, "the database server cannot be reached", cause)
}

func noTLS(cause error) *LoginError {
	return newError(pgwire.ConnectionFailure, ReasonTLS,
		"no verified TLS connection to the database server", cause)
}

func unproven(cause error) *LoginError {
	return newError(pgwire.SQLServerRejectedEstablishmentOfSQLConnection, ReasonUnproven,
		"the database server did not authenticate this broker", cause)
}

func protocolError(cause error) *LoginError {
	return newError(pgwire.SQLServerRejectedEstablishmentOfSQLConnection, ReasonProtocol,
		"the login to the database server could not be completed", cause)
}

func noCredential(cause error) *LoginError {
	return newError(pgwire.SQLServerRejectedEstablishmentOfSQLConnection, ReasonCredential,
		"the broker has no credential for the database server", cause)
}

// fault returns e when the address is at fault, rather than the role, the database or us: others
// need not try it now.
func (e *LoginError) fault() *LoginError {
	switch e.reason {
	case ReasonUnreachable, ReasonTLS, ReasonProtocol, ReasonStarting:
		return e
	}
	return nil
}

// asLoginError classifies err and notes the address it is about.
func asLoginError(err error, addr string) *LoginError {
	e, ok := errors.AsType[*LoginError](err)
	if !ok {
		e = classify(err)
	}
	about := *e
	if about.addr == "" {
		about.addr = addr
	}
	return &about
}

// classify tells what is at fault in an error of pgconn, the network or TLS.
func classify(err error) *LoginError {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused(pg)
	}
	if isAlert(err) { // in TLS 1.3 it comes after our side of the handshake is done
		return newError(pgwire.SQLServerRejectedEstablishmentOfSQLConnection, ReasonRefused, refusedText(""),
			fmt.Errorf("the server does not accept our certificate: %w", err))
	}
	if isLost(err) {
		return unreachable(err)
	}
	return protocolError(err)
}

// isAlert reports a TLS alert of the server's.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// isLost reports an error of the network: refused, reset, closed, timed out.
func isLost(err error) bool {
	_, ok := errors.AsType[net.Error](err)
	return ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// refused is the server's own refusal: its SQLSTATE with our text (wire-protocol section 9). An administrator who ends
// the login, or a shutdown, reads as one that comes too early or too late: whoever waits goes on waiting (W69).
func refused(pg *pgconn.PgError) *LoginError {
	cause := fmt.Errorf("%s %s: %s: %w", pg.Severity, pg.Code, pg.Message, pg)
	if !validState(pg.Code) {
		return newError(pgwire.SQLServerRejectedEstablishmentOfSQLConnection, ReasonRefused, refusedText(""), cause)
	}
	switch pg.Code {
	case pgwire.CannotConnectNow, pgwire.AdminShutdown: // a login that is ended midway is not refused: the next may do
		return newError(pgwire.CannotConnectNow, ReasonStarting, refusedText(pgwire.CannotConnectNow), cause)
	}
	return newError(pg.Code, ReasonRefused, refusedText(pg.Code), cause)
}

// validState reports whether code is an SQLSTATE that means failure.
func validState(code string) bool {
	if len(code) != 5 || strings.HasPrefix(code, "00") {
		return false
	}
	for _, r := range code {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return true
}

// refusedText is what a client reads instead of the server's words.
func refusedText(code string) string {
	switch {
	case code == pgwire.InvalidCatalogName:
		return "the database does not exist on the server"
	case code == pgwire.CannotConnectNow:
		return "the database server is starting up or shutting down"
	case code == pgwire.TooManyConnections:
		return "the database server has too many connections"
	case code == pgwire.InsufficientPrivilege:
		return "the database server denied access to the database"
	case code == pgwire.InvalidParameterValue, code == pgwire.UndefinedObject, code == pgwire.CantChangeRuntimeParam:
		return "the database server refused a start-up parameter"
	default:
		return "the database server refused the login"
	}
}
