package broker

import (
	"errors"

	"github.com/pgsignet/pgsignet/pgwire"
)

// shown is an error of any package that may be shown to a client: a SQLSTATE, a slug for audit, log
// and metrics, and a public text of facts that the client itself presented.
type shown interface {
	error
	SQLState() string
	Reason() string
	Public() string
}

// internalError is what a client reads of an error that is not for it.
const internalError = "internal error"

// answer turns an error into what the client is told, in the one place where that is decided. Every
// text ends in the session's id, by which an administrator finds the cause in log and audit.
func answer(err error, sid SessionID) *pgwire.Error {
	e := &pgwire.Error{
		Severity: pgwire.Fatal, Code: pgwire.InternalError, Message: internalError, Slug: "internal",
	}
	if s, ok := errors.AsType[shown](err); ok {
		e.Code, e.Message, e.Slug = s.SQLState(), s.Public(), s.Reason()
		if d, ok := s.(interface{ Detail() string }); ok {
			e.DetailText = d.Detail()
		}
		if h, ok := s.(interface{ Hint() string }); ok {
			e.HintText = h.Hint()
		}
	}
	e.Message += " (session " + sid.String() + ")"
	return e
}

// refusal is a login that the broker itself turns down.
type refusal struct {
	code, reason, public string
	cause                error // for log and audit
}

func (r *refusal) Error() string {
	if r.cause != nil {
		return r.public + ": " + r.cause.Error()
	}
	return r.public
}

func (r *refusal) Unwrap() error    { return r.cause }
func (r *refusal) SQLState() string { return r.code }
func (r *refusal) Reason() string   { return r.reason }
func (r *refusal) Public() string   { return r.public }

func errShuttingDown() error {
	return &refusal{code: pgwire.CannotConnectNow, reason: "shutdown", public: "the server is shutting down"}
}

func errTooManyClients() error {
	return &refusal{code: pgwire.TooManyConnections, reason: "too_many_clients", public: "too many clients already"}
}

func errAuditDown(cause error) error {
	return &refusal{
		code: pgwire.CannotConnectNow, reason: "audit_failed",
		public: "access cannot be recorded now", cause: cause,
	}
}
