// Package relay copies protocol messages between a client and the server connections it is leased,
// until one side ends, and reports how it ended.
//
// It does not open server connections or decide who may use them, and it never logs.
package relay

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Mode is how long a session keeps a server connection.
type Mode uint8

const (
	// SessionMode keeps one server connection for the client's life.
	SessionMode Mode = iota
	// TransactionMode returns it at every clean transaction boundary.
	TransactionMode
)

// String is the mode as the configuration writes it.
func (m Mode) String() string {
	if m == TransactionMode {
		return "transaction"
	}
	return "session"
}

// Config describes a session whose client has been welcomed.
type Config struct {
	Client net.Conn // TLS; nobody else reads from it
	Mode   Mode
	// Server and Lease are the connection that the session begins with, ready for queries.
	Server *Server
	Lease  Lease
	// ResetTimeout bounds the reset of a connection after the session; CancelTimeout a cancel
	// request sent because the session ended.
	ResetTimeout  time.Duration
	CancelTimeout time.Duration
}

// Reason says how a session ended; the closed set is in architecture.md, section Errors.
type Reason string

// Reasons that the relay finds itself; others are given to End.
const (
	ClientClosed     Reason = "client_closed"
	ClientTerminated Reason = "client_terminated"
	UpstreamClosed   Reason = "upstream_closed"
	ProtocolError    Reason = "protocol_error"
)

// End is a cause for a session to end, and what its client is told.
type End struct {
	Reason Reason
	Tell   *pgwire.Error // nil: the client is told nothing
}

// Result is what a session did and how it ended.
type Result struct {
	End
	BytesIn, BytesOut            int64 // from and to the client, inside TLS
	Statements, Errors, RowsSent int64
	Cancels                      int64
}

// Session is one client that is being served. Run is called once; End, Drain and Cancel may be
// called at any time from any goroutine, and do not block on the network.
type Session struct {
	// Fixed at creation.
	cfg Config
	out writer

	// Owned by Run.
	in  reader
	ctx context.Context

	mu     sync.Mutex // guards server and lease; never held over I/O
	server *Server    // nil: none is held
	lease  Lease

	end      atomic.Pointer[End]
	draining atomic.Pointer[End]
	stop     context.CancelCauseFunc
	clocks   clocks
	quiet    chan struct{} // signalled when the server owes nothing

	statements, errors, rows, cancels atomic.Int64
}

// New returns a session that holds cfg.Server.
func New(cfg Config) *Session {
	s := &Session{cfg: cfg, server: cfg.Server, lease: cfg.Lease, quiet: make(chan struct{}, 1)}
	s.out.conn = cfg.Client
	s.in.conn = cfg.Client
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.clocks.lastActive.Store(time.Now().UnixNano())
	if !s.server.link(s) {
		s.serverLost(s.server, ErrServerLost, nil)
	}
	return s
}

// Run relays until the session ends. It closes neither the client's socket nor, unless it must, the
// server connection, which it resets and releases.
func (s *Session) Run() Result {
	defer s.stop(nil)
	found := s.serve()
	end := *s.finishWith(found)
	s.leave()
	return Result{
		End:     end,
		BytesIn: s.in.total.Load(), BytesOut: s.out.sent.Load(),
		Statements: s.statements.Load(), Errors: s.errors.Load(), RowsSent: s.rows.Load(),
		Cancels: s.cancels.Load(),
	}
}

// End ends the session as soon as possible: what the server runs for it is cancelled, and its
// client reads e.Tell at the next message boundary. Only the first cause counts.
func (s *Session) End(e End) {
	if !s.end.CompareAndSwap(nil, &e) {
		return
	}
	s.stop(context.Canceled)
	s.cfg.Client.SetReadDeadline(past)
	s.cfg.Client.SetWriteDeadline(time.Now().Add(lastWords))
	server := s.held()
	if server != nil {
		server.Conn.SetWriteDeadline(past)
	}
}

// Drain ends the session at its next transaction boundary, now if it is at one.
func (s *Session) Drain(e End) {
	s.draining.Store(&e)
	if s.atBoundary() {
		s.End(e)
	}
}

// past makes a blocked read or write return.
var past = time.Unix(1, 0)

// lastWords is how long a client that does not read may hold up the end of its session.
const lastWords = time.Second

// atBoundary says whether the session is between transactions, or holds no server connection.
func (s *Session) atBoundary() bool {
	server := s.held()
	return server == nil || server.clean(s)
}

// boundary is called by the reader of a server when everything asked for has been answered and
// forwarded.
func (s *Session) boundary(server *Server) {
	select {
	case s.quiet <- struct{}{}:
	default:
	}
	if e := s.draining.Load(); e != nil && server.clean(s) {
		s.End(*e)
	}
}

// clientLost is called when the client cannot be written to.
func (s *Session) clientLost(error) { s.End(End{Reason: ClientClosed}) }

// serverLost is called by the reader of a server that the session holds and that has ended. A FATAL
// of the server's own has been forwarded and is the client's last message.
func (s *Session) serverLost(_ *Server, _ error, fatal *pgwire.Error) {
	e := End{Reason: UpstreamClosed}
	if fatal == nil {
		e.Tell = &pgwire.Error{
			Severity: pgwire.Fatal, Code: pgwire.ConnectionFailure,
			Message: "server connection lost", Slug: string(UpstreamClosed),
		}
	}
	s.End(e)
}

// finishWith settles the cause of the end, tells the client, and returns it.
func (s *Session) finishWith(found End) *End {
	s.end.CompareAndSwap(nil, &found)
	e := s.end.Load()
	var words []byte
	if e.Tell != nil {
		words = pgwire.AppendError(nil, e.Tell)
	}
	s.cfg.Client.SetWriteDeadline(time.Now().Add(lastWords))
	if !s.out.finish(words) {
		s.awaitLastWords()
	}
	return e
}

// awaitLastWords gives the server's reader the time to finish the message it is forwarding.
func (s *Session) awaitLastWords() {
	deadline := time.NewTimer(lastWords)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !s.out.done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return
		}
	}
}

// leave gives the server connection back: reset when it is quiet, closed otherwise, after a cancel
// request when it is still at work (W80).
func (s *Session) leave() {
	s.mu.Lock()
	server, lease := s.server, s.lease
	s.server, s.lease = nil, Lease{}
	s.mu.Unlock()
	if server == nil {
		return
	}
	if server.unlink(s) && !s.mustDestroy() {
		server.reset(lease, s.cfg.ResetTimeout)
		return
	}
	if server.busyFor(s) {
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.CancelTimeout)
		server.cancel(ctx, s)
		cancel()
	}
	server.Close()
	lease.Destroy()
}

// mustDestroy says whether the end of the session forbids that its server connection be used again:
// somebody else decided the end, or the client may have left a message half sent.
func (s *Session) mustDestroy() bool {
	e := s.end.Load()
	return s.in.inside() || (e.Reason != ClientClosed && e.Reason != ClientTerminated)
}

// Cancel cancels what the session runs, as a client's CancelRequest asks. It says whether a request
// reached the server; a session that runs nothing is left alone.
func (s *Session) Cancel(ctx context.Context) (bool, error) {
	server := s.held()
	if server == nil {
		return false, nil
	}
	s.cancels.Add(1)
	return server.cancel(ctx, s)
}

// observe counts what a reply means to the client. Called by the server's reader with its mu.
func (s *Session) observe(ledger *ledger, typ, status byte) {
	switch typ {
	case pgwire.MsgErrorResponse:
		s.errors.Add(1)
	case pgwire.MsgDataRow:
		s.rows.Add(1)
	case pgwire.MsgReadyForQuery:
		s.clocks.ready(ledger, status)
	}
}

// parameter says whether a ParameterStatus is the client's to see.
func (s *Session) parameter(name, value string) bool { return true }
