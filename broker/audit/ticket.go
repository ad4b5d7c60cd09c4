package audit

import (
	"context"
	"errors"
)

// batch is what one drain of the queue takes: it becomes durable, or not, as one.
type batch struct {
	done chan struct{}
	err  error // before done is closed
}

// Ticket stands for records on their way to the disk. The zero Ticket is of nothing, and done.
type Ticket struct{ b *batch }

// Done is closed when the outcome is known. It is nil, which blocks for ever, for the zero Ticket.
func (t Ticket) Done() <-chan struct{} {
	if t.b == nil {
		return nil
	}
	return t.b.done
}

// Err is nil when the records are durable, a *WriteError when they are not. It blocks until known.
func (t Ticket) Err() error {
	if t.b == nil {
		return nil
	}
	<-t.b.done
	return t.b.err
}

// Wait is Err with a way out: ctx ends the waiting, not the writing.
func (t Ticket) Wait(ctx context.Context) error {
	if t.b == nil {
		return nil
	}
	select {
	case <-t.b.done:
		return t.b.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stats counts since Open.
type Stats struct {
	Lines    uint64 // written, checkpoints too
	Bytes    uint64
	Syncs    uint64
	Lost     uint64 // records dropped on a full queue
	Refused  uint64 // records whose waiting caller got an error
	Failures uint64 // writes and syncs that failed
	Queued   int    // records waiting now
}

// WriteError says that records are not durable. A statement gated by them must not be sent.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return "audit: " + e.Err.Error() }
func (e *WriteError) Unwrap() error { return e.Err }

// SQLState is io_error (PostgreSQL appendix A). A login that finds the audit stuck answers 57P03.
func (e *WriteError) SQLState() string { return "58030" }

// Reason is the end of a session that could not be recorded.
func (e *WriteError) Reason() string { return "audit_failed" }

// Public is the text a client may see.
func (e *WriteError) Public() string { return "could not write the audit record" }

var errClosed = &WriteError{Err: errors.New("the log is closed")}

func newBatch() *batch { return &batch{done: make(chan struct{})} }
