package relay

import (
	"context"
	"time"
)

// Observer is told what a session's client has the server do, for the audit. A Statement or Copy it
// is given belongs to the relay and is valid until the call returns; its strings, lists of types and
// parameters never change and may be kept. Of one session neither two calls of Start nor two of Done
// and Copied overlap.
type Observer interface {
	// Start is told of statements that are about to be sent, when Config.Gate is set, and returns
	// once they may be: nil, or an error that may be shown to the client and keeps all of them back.
	// ctx ends with the session and with a cancel request.
	Start(ctx context.Context, list []*Statement) error
	// Done is told of a statement's outcome. It is called with locks held and must not block.
	Done(*Statement)
	// Copied is told of the data phase of a COPY that has ended, as Done is.
	Copied(*Copy)
}

// Detail is how much of a session its Observer is told.
type Detail uint8

const (
	DetailNone       Detail = iota // nothing: messages are not inspected
	DetailStatements               // statements without parameter values, Bind of a portal never executed, Parse and Bind when they fail
	DetailFull                     // values and types too, and each Parse and Close
)

// Op is what a statement is to the protocol.
type Op string

// The operations.
const (
	OpQuery    Op = "query"
	OpExecute  Op = "execute"
	OpFunction Op = "function"
	OpParse    Op = "parse"
	OpBind     Op = "bind"
	OpClose    Op = "close"
	OpSync     Op = "sync" // the end of a batch whose statements have been told of before it
)

// Statement is a statement of the client's, or a step of one.
type Statement struct {
	ID     uint64 // within the session, from 1
	Op     Op
	OID    uint32 // of a function
	Name   string // of the prepared statement, the client's
	Portal string

	// Text is the statement, for a prepared one that of its Parse: whole, or as much of it as stands
	// in the first 256 KiB of its message. TextLen is the length of the whole in bytes when Text is
	// not, TextSHA256 its hash in hex once it is known.
	Text       string
	TextLen    int64
	TextSHA256 string

	NParams int
	Types   []uint32 // as declared; DetailFull
	Params  []Value  // DetailFull; those in the first 256 KiB of the message

	Started bool // Start was told of it
	Changed bool // Text is not what Start was told: the server ran another statement by that name

	// Outcome.
	At                time.Time // when it was known; zero: now
	Skipped           bool      // the server has not run it: an error before it in its batch
	Tags              []string
	NTags             int           // how many there were, when Tags has only the first of them and those that matter
	SQLState, Message string        // SQLState is 00000 when it succeeded, "" when its outcome is unknown
	Rows, RowsOut     int64         // affected; DataRows
	BytesIn, BytesOut int64         // its messages and their replies, with headers
	Queue, Exec       time.Duration // from its arrival to being sent; from there to ReadyForQuery
	Tx                byte          // transaction state after it; 0: unknown when it was told of
	Undone            bool          // it has succeeded and was then rolled back
	Undoes            uint64        // with it, the session's statements from this one on were rolled back; 0: none
	Perhaps           bool          // a part of those may have been committed before
	Conn              uint64        // ServerConfig.ID; 0: it was not sent
	PID               uint32
}

// Value is a parameter.
type Value struct {
	Bytes  []byte
	Len    int // of the whole, in bytes, when Bytes is its front; else 0
	Null   bool
	Binary bool
}

// Copy is the data phase of a COPY.
type Copy struct {
	Statement uint64 // Statement.ID
	Direction string // in, out, both
	Binary    bool
	Columns   int
	Rows      int64
	Bytes     int64 // of data, without headers
	SQLState  string
	Exec      time.Duration
}

// AuditFailed is the end of a session whose statements cannot be recorded.
const AuditFailed Reason = "audit_failed"

// Running is the number of the statement that the server is at, 0 when it is at none, and the
// connection's process id. Safe for concurrent use.
func (s *Session) Running() (id uint64, pid uint32) {
	w := s.watch
	if w == nil {
		return 0, 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.flight.size {
		switch e := w.flight.at(i); e.Op {
		case OpQuery, OpExecute, OpFunction:
			w.number(e)
			return e.ID, e.PID
		}
	}
	return 0, 0
}
