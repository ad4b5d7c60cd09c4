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
	"unique"

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
	// Server and Lease are the connection that the session begins with, which has adopted Profile
	// and is ready for queries. In transaction mode it is released at once, or there is none.
	Server  *Server
	Lease   Lease
	Profile *Profile
	Told    []pgwire.Param // what the client was told of the server's parameters

	// Acquire is where transaction mode's next server connections come from, one for each transaction.
	Acquire func(ctx context.Context) (Lease, error)
	// For transaction mode: what all sessions of the process share, and whether a connection is
	// reset after every transaction or only when it may have to be.
	Statements  *Statements
	ResetAlways bool

	// Observer is told of statements, in as much Detail; nil: nobody, and nothing is inspected for it.
	// Gate keeps statements back until Start has returned.
	Observer Observer
	Detail   Detail
	Gate     bool

	// Once says that the first connection serves nobody else: it is closed with the session.
	Once bool
	// Pins counts the connections that are pinned, over all sessions that share it; nil: no cap.
	Pins *PinLimit

	// ResetTimeout bounds the reset of a connection after the session; CancelTimeout a cancel
	// request sent because the session ended.
	ResetTimeout  time.Duration
	CancelTimeout time.Duration
}

// Session is one client that is being served. Run is called once; End, Drain and Cancel may be
// called at any time from any goroutine, and do not block on the network.
type Session struct {
	// Fixed at creation.
	cfg Config
	out writer

	watch *watch // nil: nobody is told

	// Owned by Run.
	in         reader
	box        outbox
	ctx        context.Context
	barrier    bool // the next message waits for the answers that are due
	dropRest   bool // what is still to come of the current message is not forwarded
	rejecting  bool // a request is being dropped whose error the client has read
	rejectOne  bool // it is a single message, not a batch
	rejectEnds bool // the message that is being dropped is its last

	// Owned by Run while no connection is held; else guarded by that connection's mu.
	seen, wanted paramSet
	fitting      agreement             // of wanted: the server needs no replay
	told         agreement             // of seen: the client knows the server's parameters
	toldWanted   unique.Handle[string] // wanted as of told
	static       *settingSet
	printed      *string          // see print; nil: to be made
	names        map[string]named // prepared statements
	naming       map[string]int   // requests under way that change what a name means
	namingAll    int              // the same, for all names
	texts        int              // bytes of statements that names hold
	unnamed      unnamedLog
	portals      map[string]portal // portals of statements that leave something when executed
	defaults     bool              // a text of the client's may set a parameter to its default
	committed    int               // how many of pending a COMMIT has confirmed
	pending      []change          // of settings, in the transaction under way

	mu          sync.Mutex // guards server and waitingFrom; never held over I/O; taken before a server's
	server      *Server    // the last that was leased, noted before it is linked; it may have been released
	waitingFrom time.Time  // since then the record of a statement is waited for; zero: none is

	turn         turn        // of a wait for a server connection
	recording    turn        // of a wait for the record of a statement
	withdrawable atomic.Bool // what recording waits for can still be answered by an error
	end          atomic.Pointer[End]
	draining     atomic.Pointer[End]
	stop         context.CancelCauseFunc
	clocks       clocks
	quiet        chan struct{} // signalled when the server has answered something
	awaiting     atomic.Bool   // somebody waits for that

	statements, errors, rows, cancels atomic.Int64
	counters                          counters
}

// New returns a session that holds cfg.Server, if any.
func New(cfg Config) *Session {
	s := &Session{cfg: cfg, server: cfg.Server, quiet: make(chan struct{}, 1), names: make(map[string]named), naming: make(map[string]int)}
	if cfg.Profile == nil {
		s.cfg.Profile = &Profile{}
	}
	s.wanted.load(s.cfg.Profile.wanted.params)
	s.static = s.cfg.Profile.static
	s.seen.load(cfg.Told)
	s.watch = newWatch(&cfg)
	s.out.conn = cfg.Client
	s.in.from(cfg.Client)
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.clocks.lastActive.Store(clockNow())
	if s.server == nil {
		return s
	}
	if _, ok := s.server.link(s, cfg.Lease); !ok {
		cfg.Lease.Destroy() // it has ended meanwhile
		if s.server = nil; cfg.Mode == SessionMode {
			s.serverLost(nil)
		}
	}
	return s
}

// Run relays until the session ends. It closes neither the client's socket nor, unless it must, the
// server connection, which it resets and releases.
func (s *Session) Run() *Result {
	defer s.stop(nil)
	defer s.wreckOnPanic()
	if first := s.cfg.Server; first != nil {
		first.look() // transaction mode: the first transaction leases its own
	}
	return s.over(s.serve())
}

// over ends a session whose client's side has ended as found. It is apart from Run, under which idle
// clients wait with little on the stack.
func (s *Session) over(found End) *Result {
	r := &Result{End: *s.finishWith(found)}
	if fatal := s.out.ending(); fatal != nil { // it was the first, whatever else has ended the session
		r.End = End{Reason: UpstreamClosed, Tell: fatal}
	}
	s.leave()
	s.watch.over(r)
	r.BytesIn, r.BytesOut = s.in.total.Load(), s.out.sent.Load()
	r.Statements, r.Errors, r.RowsSent = s.statements.Load(), s.errors.Load(), s.rows.Load()
	r.Cancels = s.cancels.Load()
	return r
}

// End ends the session as soon as possible: what the server runs for it is cancelled, and its
// client reads e.Tell at the next message boundary. Only the first cause counts.
func (s *Session) End(e End) {
	if s.end.CompareAndSwap(nil, &e) {
		s.interrupt()
	}
}

// interrupt makes whatever the session waits for return, now that it is ended.
func (s *Session) interrupt() {
	s.stop(context.Canceled)
	s.turn.cancel(context.Canceled)
	s.recording.cancel(context.Canceled)
	s.cfg.Client.SetReadDeadline(past)
	s.cfg.Client.SetWriteDeadline(time.Now().Add(lastWords))
	if server := s.held(); server != nil {
		server.stopWriting(s)
	}
}

// Drain ends the session at its next transaction boundary, now if it is at one.
func (s *Session) Drain(e End) {
	s.draining.Store(&e)
	s.drain()
}

// drain ends a session that is asked to end and has come to a transaction boundary, or holds no
// server connection.
func (s *Session) drain() {
	e := s.draining.Load()
	if e == nil {
		return
	}
	s.mu.Lock() // with it, what is held is no other by the time that it is at a boundary
	over := s.server == nil || s.server.endAtBoundary(s, e)
	if over {
		s.end.CompareAndSwap(nil, e)
	}
	s.mu.Unlock()
	if over {
		s.interrupt()
	}
}

// errCancelled is a request that was cancelled before a server connection was free.
var errCancelled = &pgwire.Error{
	Severity: pgwire.Err, Code: pgwire.QueryCanceled, Message: "canceling statement due to user request", Slug: "cancelled",
}

// past makes a blocked read or write return.
var past = time.Unix(1, 0)

// lastWords is how long a client that does not read may hold up the end of its session.
const lastWords = time.Second

// held is the server connection that the session leased last.
func (s *Session) held() *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// wake tells the client's half that something was answered.
func (s *Session) wake() {
	select {
	case s.quiet <- struct{}{}:
	default:
	}
}

// boundary is called when everything asked for has been answered and forwarded.
func (s *Session) boundary(*Server) {
	s.wake()
	s.drain()
}

// clientLost is called when the client cannot be written to.
func (s *Session) clientLost(error) { s.End(End{Reason: ClientClosed}) }

// serverLost is called when a server connection that the session holds has ended. A FATAL of the
// server's own has been forwarded and is the client's last message.
func (s *Session) serverLost(fatal *pgwire.Error) {
	e := End{Reason: UpstreamClosed}
	if fatal == nil {
		e.Tell = serverLostError()
	}
	s.End(e)
}

// finishWith settles the cause of the end, tells the client unless the server has, and returns it.
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

// leave gives the server connection back, if one is held: reset when it is quiet, closed otherwise,
// after a cancel request when it is still at work (W80).
func (s *Session) leave() {
	defer s.forgetAll()
	server := s.held()
	if server == nil || !server.heldBy(s) {
		return
	}
	if !s.mustDestroy() {
		if lease, ok := server.unlink(s); ok {
			server.reset(lease, s.cfg.ResetTimeout)
			return
		}
	}
	if server.busyFor(s) {
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.CancelTimeout)
		server.cancel(ctx, s)
		cancel()
	}
	if lease, ok := server.seize(s); ok {
		server.Close()
		lease.Destroy()
	}
}

// forgetAll gives the session's prepared statements back. Nothing else has access any more.
func (s *Session) forgetAll() {
	for _, known := range s.names {
		s.cfg.Statements.put(known.st)
	}
	s.names = nil
}

// mustDestroy says whether the end of the session forbids that its server connection be used again:
// somebody else decided the end, or the client may have left a message half sent.
func (s *Session) mustDestroy() bool {
	e := s.end.Load()
	return s.cfg.Once || s.in.inside() || (e.Reason != ClientClosed && e.Reason != ClientTerminated)
}

// Cancel cancels what the session runs or waits for, as a client's CancelRequest asks. It says
// whether there was something to cancel and the server took notice.
func (s *Session) Cancel(ctx context.Context) (bool, error) {
	if s.turn.cancel(errCancelled) || s.withdrawable.Load() && s.recording.cancel(errCancelled) {
		s.cancels.Add(1) // W76
		return true, nil
	}
	server := s.held()
	if server == nil {
		return false, nil
	}
	s.cancels.Add(1)
	return server.cancel(ctx, s)
}

// observe counts what a reply means to the client, and acts at the end of each transaction. Called by
// the server's reader with its mu.
func (s *Session) observe(server *Server, typ, status byte, body []byte, head token) {
	switch typ {
	case pgwire.MsgErrorResponse:
		s.errors.Add(1)
		s.failed(server, body)
		s.undone(server)
	case pgwire.MsgDataRow:
		s.rows.Add(1)
	case pgwire.MsgCommandComplete:
		switch {
		case len(body) == 0:
		case body[0] == 'R', body[0] == 'D', body[0] == 'S' && s.defaults, body[0] == 'C' && s.cfg.Mode == TransactionMode:
			s.tagged(server, replyTag(body), head.note)
			if body[0] == 'D' || body[0] == 'C' {
				server.dropped(replyTag(body))
			}
		case body[0] == 'A':
			server.altered(replyTag(body))
		}
	case pgwire.MsgReadyForQuery:
		now := clockNow()
		s.counters.ready(status, s.clocks.statement.Load(), now)
		s.clocks.ready(&server.ledger, status, now)
		if status == 'I' {
			s.settled(server)
			server.announceAltered()
			server.announceDropped()
		}
	}
}

// failed looks at an error that the server has given for what it means beyond the request. Called
// with the server's mu.
func (s *Session) failed(server *Server, body []byte) {
	switch e := parseError(body); e.Code {
	case pgwire.FeatureNotSupported: // "cached plan must not change result type", among others (W43)
		server.prepared.spoilAll()
	case pgwire.ReadOnlySQLTransaction:
		if on, ok := server.params.get("in_hot_standby"); ok && on == "on" {
			server.notice(Event{Kind: RefusedWrite})
		}
	}
}
