package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// serverBuffer is how much of a message that the relay must decode (everything but rows and COPY data) is
// read before it is taken apart, in bytes: longer ones are not seen whole.
const serverBuffer = 32 << 10

// headerSize is the type byte and the length word of a message.
const headerSize = pgwire.HeaderSize

// ErrServerLost means that the server connection ended while it was needed.
var ErrServerLost = errors.New("server connection lost")

// Lease is the right to use a server connection. A connection is released only when it is idle and
// clean, so that it may serve anyone of its pool; otherwise its lease is destroyed.
type Lease = pool.Lease[*Server]

// ServerConfig describes a server connection that is logged in and ready for queries.
type ServerConfig struct {
	ID     uint64         // unique in this process; in audit and console
	Conn   net.Conn       // the TLS connection; nobody else reads from it
	PID    uint32         // the backend's process id, 0 when it sent none
	Params []pgwire.Param // what the server reported at login
	Addr   string         // host:port
	// CertSerial and CertNotAfter describe the certificate that the broker logged in with, if any.
	CertSerial   string
	CertNotAfter time.Time
	Connect      time.Duration // how long dial and login took
	Generation   uint64        // of its upstream's connections; in the audit
	// Cancel asks the server to cancel what this connection runs; it returns when the server has
	// taken notice (EOF). Nil when the server gave no key.
	Cancel func(ctx context.Context) error
	// PreparedStatements is how many statements the connection holds at most for clients in
	// transaction mode; 0 is no limit.
	PreparedStatements int
	// Noticed is told of what concerns others of the pool; nil: nobody. It is called with a lock
	// held: it must not block or call back.
	Noticed func(Event)
	// Panicked is told of a panic of the reader with its stack; nil: nobody. The connection and the
	// session that holds it end. It may be called with a lock held: it must not block or call back.
	Panicked func(value any, stack []byte)
	// Ended is called once, when the reader has ended and nothing of the connection is left.
	Ended func()
}

// Server is one server connection with the goroutine that reads from it, which forwards what it
// reads to the session that holds the connection, if any.
//
// Safe for concurrent use.
type Server struct {
	ServerConfig // fixed at creation

	// Owned by the reader.
	buf    []byte
	whole  int // serverBuffer
	held   int // bytes of an incomplete header or message at the front of buf
	remain int // bytes of the current message still to come
	size   int // of the message that is accounted for, with its header
	drop   bool
	spans  spans

	mu      sync.Mutex // guards all below, and the accounts of the session that is linked
	ledger  ledger
	params  paramSet
	session *Session
	lease   Lease // the session's; its own while it is reset or held by a cancel request; else zero
	phase   phase
	cancels int // cancel requests under way
	lost    error
	fatal   *pgwire.Error // the FATAL that the server left with
	parting *pgwire.Error // the same, where its session's client reads it
	timer   *time.Timer   // deadline of a reset

	resetNote *note // the reply that a reset waits for

	partial    int  // bytes of a client's message that are not forwarded yet
	writing    bool // the client's half is writing to the server
	forwarding bool // the reader is writing to the client
	midway     bool // the server has sent a part of a message and owes the rest

	// State that a client has left on the connection, in transaction mode.
	base       paramSet     // reported parameters as a fresh login has them
	applied    *settingSet  // of settings that are not reported
	tokenOf    *Profile     // whose pgsignet.token it has; nil: nobody's
	ends       bool         // what was read ends the session
	suspect    bool         // what a map has set may have been set otherwise
	recheck    bool         // the client has reset settings, its start-up values are due
	recheckSet bool         // the same, for those that a SET may have set to their defaults
	changed    []string     // parameters that were reported since the last boundary
	pins       sqllex.Flags // why it stays with its client
	unpins     sqllex.Flags // pins that end when the transaction commits
	order      uint64       // of the statement that pinned or was sent last
	pinnedAt   [16]uint64   // order of the last statement that acquired each pin
	cursors    heldCursors  // those that outlive their transactions
	dirtyAt    uint64       // order of the last statement that left dirt
	pinned     *PinLimit    // where the pins are counted
	dirty      bool         // DISCARD ALL before anybody else
	private    string       // the print of what is prepared while settings are changed; "": they are the session's
	privates   uint64       // how many there were
	tempPath   bool         // search_path may begin with pg_temp until the connection changes hands
	prepared   prepared

	newDefaults, fewerTypes bool // ALTER ROLE or DATABASE, or a DROP of types, has run in the transaction under way

	closing  atomic.Bool
	retired  atomic.Bool  // see Retire
	Sessions atomic.Int64 // sessions served; for console and audit
}

// phase is what a server connection is used for.
type phase uint8

const (
	phaseIdle phase = iota
	phaseLinked
	phaseReset  // the reply to the reset is awaited
	phaseHeld   // clean, but a cancel request is still under way
	phaseClosed // closed, or about to be
)

// NewServer takes over a connection that has just logged in and starts its reader, which ends when
// the connection does, after Close at the latest.
func NewServer(cfg ServerConfig) *Server {
	s := &Server{ServerConfig: cfg, buf: make([]byte, idleBuffer), whole: serverBuffer}
	s.ledger.tx = 'I'
	s.params.load(cfg.Params)
	s.base.load(cfg.Params)
	s.prepared.limit = cfg.PreparedStatements
	go s.read()
	return s
}

// Close closes the connection at once. It does not wait for the reader, which may be the caller.
func (s *Server) Close() error {
	if s.closing.Swap(true) {
		return nil
	}
	s.sayGoodbye()
	return s.Conn.Close()
}

// sayGoodbye sends Terminate on a connection that is between requests, so that the server does not
// log a lost client. A peer that takes no bytes is left without it.
func (s *Server) sayGoodbye() {
	s.mu.Lock()
	polite := s.lost == nil && s.ledger.quiet()
	s.phase = phaseClosed
	s.mu.Unlock()
	if !polite {
		return
	}
	s.Conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	s.Conn.Write(pgwire.AppendEmpty(nil, pgwire.MsgTerminate))
}

// Healthy says whether an idle connection may be handed out: alive, and nothing unasked for was
// received or is waiting to be read. It does not block.
func (s *Server) Healthy() bool {
	s.mu.Lock()
	ok := s.lost == nil && s.fatal == nil && s.phase == phaseIdle && s.ledger.clean() && s.cancels == 0 && !s.midway
	s.mu.Unlock()
	return ok && !s.closing.Load() && !pendingInput(s.Conn)
}

// Retire makes a session in transaction mode leave the connection at the next boundary even when its
// client's next request is there before the last answer has been dealt with.
func (s *Server) Retire() { s.retired.Store(true) }

// read is the reader goroutine: from the server to whoever holds the connection.
func (s *Server) read() {
	if s.Ended != nil {
		defer s.Ended()
	}
	defer s.survive()
	more := waitless(s.Conn)
	for {
		n, err := s.Conn.Read(s.buf[s.held:])
		if n > 0 {
			if fault := s.takeAll(s.buf[:s.held+n], more); fault != nil {
				s.lose(fault)
				return
			}
		}
		if err != nil {
			s.lose(fmt.Errorf("%w: %w", ErrServerLost, err))
			return
		}
	}
}

// take accounts for what was read, forwards what is the client's, and then, if the connection has
// come to a boundary, lets go of it.
func (s *Server) take(b []byte) error {
	s.spans.reset()
	s.mu.Lock()
	held, err := s.account(b)
	if err == nil && s.fatal != nil && s.remain == 0 {
		err = errLastWords
	}
	s.midway = held > 0 || s.remain > 0
	session := s.session
	if session != nil {
		session.watch.pause()
	}
	partial := 0
	if !s.drop {
		partial = s.remain
	}
	s.forwarding = session != nil && !s.spans.empty()
	forwarding, ends, parting := s.forwarding, s.ends, s.parting
	s.ends = false
	s.mu.Unlock()
	if ends {
		session.interrupt()
	}
	if forwarding {
		session.out.forward(s.spans.list, partial, parting, session)
	}
	s.keep(b[len(b)-held:])
	if err != nil {
		return err
	}
	return s.settle()
}

// settle acts on a boundary, if the connection has come to one: it ends a reset, or lets go of the
// connection in transaction mode. Only the reader calls it, after each read.
func (s *Server) settle() error {
	s.mu.Lock()
	s.forwarding = false
	return s.settleLocked()
}

// look is settle for everybody but the reader: what the reader has in hand is its own to finish.
func (s *Server) look() {
	s.mu.Lock()
	s.lookLocked()
}

// wrote is look for the client's half, which has finished a write.
func (s *Server) wrote() {
	s.mu.Lock()
	s.writing = false
	s.lookLocked()
}

// lookLocked is called with mu, which it unlocks.
func (s *Server) lookLocked() {
	if s.forwarding || s.phase != phaseLinked {
		s.mu.Unlock()
		return
	}
	s.settleLocked()
}

// settleLocked is called with mu, which it unlocks.
func (s *Server) settleLocked() error {
	session := s.session
	if session != nil && session.awaiting.Load() {
		session.wake()
	}
	switch {
	case s.phase == phaseReset && s.ledger.fifo.empty():
		return s.endReset() // unlocks
	case s.phase != phaseLinked || session == nil || !s.ledger.quiet():
		s.mu.Unlock()
		return nil
	case !s.releasable():
		s.mu.Unlock()
	default:
		lease, dirty := s.lease, s.dirty || session.cfg.ResetAlways
		s.session, s.lease, s.phase, s.tempPath, s.private = nil, Lease{}, phaseIdle, false, ""
		s.mu.Unlock()
		if dirty {
			s.reset(lease, session.cfg.ResetTimeout)
		} else {
			lease.Release()
		}
	}
	session.boundary(s)
	return nil
}

// releasable says whether a quiet connection may serve somebody else now (section 2, Release).
// Called with mu.
func (s *Server) releasable() bool {
	return s.session.cfg.Mode == TransactionMode && mayChangeHands(&s.ledger) && s.pins == 0 && s.cancels == 0 &&
		s.partial == 0 && !s.writing && !s.forwarding && !s.midway && s.lost == nil && s.session.end.Load() == nil
}

// unusedName is a name under which no statement was ever prepared.
func (s *Server) unusedName() string { return "_pgsignet_none" }

// lose ends the connection for good and tells whoever depends on it.
func (s *Server) lose(cause error) {
	s.mu.Lock()
	s.lost = cause
	if s.session != nil && s.unused() && s.parting == nil && (!s.forwarding || errors.Is(cause, ErrServerLost)) {
		s.setFree() // but for nonsense that came with its answer, which may be no answer then
	}
	if !s.closing.Load() && (s.fatal != nil || errors.Is(cause, ErrServerLost)) {
		s.notice(Event{Kind: Lost})
	}
	session, parting := s.session, s.parting
	var lease Lease // a session that is linked gives its own back
	if session == nil {
		lease, s.lease = s.lease, Lease{}
	}
	s.phase = phaseClosed
	s.unpin(s.pins)
	s.stopTimer()
	waiting := s.abandon()
	s.mu.Unlock()

	s.closing.Store(true)
	s.Conn.Close()
	for _, n := range waiting {
		n.fail(cause)
	}
	switch {
	case session != nil:
		session.serverLost(parting)
	case lease != Lease{}:
		lease.Destroy()
	}
}

// unused says whether the connection holds nothing of its session's, so that another one serves as
// well (W68): in transaction mode while no request, transaction or pin is on it. What the client's half
// may still be writing then has been answered. In session mode the client has been told its process id
// (W71), and ends with it. Called with mu.
func (s *Server) unused() bool {
	return s.session.cfg.Mode == TransactionMode && s.ledger.clean() && s.pins == 0 && s.partial == 0
}

// setFree takes the connection, which is about to end, from its session: nothing is lost to that,
// its next request leases another. Called with mu.
func (s *Server) setFree() {
	s.session.wake() // it may wait for a cancel request
	s.session, s.phase = nil, phaseClosed
}

// Lost says whether the connection has ended.
func (s *Server) Lost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost != nil || s.fatal != nil
}

// abandon empties the ledger and returns the broker's own requests in it. Called with mu.
func (s *Server) abandon() []*note {
	var waiting []*note
	for {
		t, ok := s.ledger.fifo.head()
		if !ok {
			return waiting
		}
		switch {
		case t.note == nil:
		case t.origin == fromBroker:
			waiting = append(waiting, t.note)
		case t.note.session != nil:
			t.note.abandoned(t.note.session.cfg.Statements)
		}
		s.ledger.fifo.pop()
	}
}

func (s *Server) stopTimer() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// Param returns what the server last reported for a parameter.
func (s *Server) Param(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.params.get(name)
}

// Params returns everything the server has reported, in the order in which it first did.
func (s *Server) Params() []pgwire.Param {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.params.list()
}
