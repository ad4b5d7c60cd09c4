package pool

import "errors"

// WaitError is why the pool itself handed out nothing.
type WaitError struct{ code, reason, public string }

// Why Acquire fails beside its context and dial errors. Compare with errors.Is.
var (
	// ErrTimeout is returned after Limits.WaitTimeout.
	ErrTimeout = &WaitError{"53300", "pool_timeout", "timed out waiting for a server connection"}
	// ErrKilled is returned to those who waited when Kill came.
	ErrKilled = &WaitError{"57P01", "killed", "terminating connection due to administrator command"}
	// ErrClosed is returned once Close was called.
	ErrClosed = &WaitError{"57P01", "shutdown", "terminating connection: the broker is shutting down"}
	// ErrEnded is returned when Request.Ended says so; whoever set it knows more.
	ErrEnded = &WaitError{"57P01", "session_ended", "terminating connection due to administrator command"}
)

// Error is the public text with its reason.
func (e *WaitError) Error() string { return e.reason + ": " + e.public }

// SQLState is too_many_connections or admin_shutdown (PostgreSQL appendix A).
func (e *WaitError) SQLState() string { return e.code }

// Reason is a slug for log, audit and metrics.
func (e *WaitError) Reason() string { return e.reason }

// Public is what the client reads.
func (e *WaitError) Public() string { return e.public }

// keepsWaiting reports whether those who wait should go on after a dial error, while one dial at a
// time is retried: always while the server starts up (57P03, W69); and while live connections may
// still come back, when the server is full (53300) or cannot be reached (08006). Any other answer is
// the server's last word on the key.
func keepsWaiting(err error, live int) bool {
	state, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	if !ok {
		return false
	}
	switch state.SQLState() {
	case "57P03":
		return true
	case "53300", "08006":
		return live > 0
	}
	return false
}
