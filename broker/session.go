package broker

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/pgwire"
)

// session is one connection's life: accept, TLS, start-up, identity, policy, pool, relay, close.
type session struct {
	// Fixed at creation.
	id     SessionID
	server *Server
	door   *door
	began  time.Time
	number int32 // as the console counts sessions

	// Of the door.
	counted netip.Addr // half open for this address, if valid
	inside  bool       // a client: no longer half open; owned by receive, then serve

	raw      net.Conn // as it was accepted; owned by receive, then serve
	panicked bool     // owned by receive, then serve
	recorded bool     // the access is in the audit, its end is not; owned by receive, then serve

	summed bool // its statistics have been added for good; guarded by the server's traffic.mu

	// Owned by receive, then serve; client is set before live.enter and fixed from then on.
	client  *downstream.Client
	pid     uint32 // of the cancel key, if keyed
	keyed   bool
	setup   audit.Setup
	notices []*pgwire.Error
	limited []countKey // the limits that the session counts against
	asking  *asking    // see asks
	// unproven: it was let in without a server connection; the first that it leases is asked whether
	// the role may still log in, when that is due.
	unproven bool

	left      atomic.Bool  // of the live sessions: it was one, and is no more
	cancelled atomic.Int64 // start, in Unix nanoseconds, of the statement that was cancelled for its time

	// decided is the login's decision in force; whoever ends sessions reads it.
	decided atomic.Pointer[decision]
	// verified is the certificate as the newest snapshot sees it.
	verified atomic.Pointer[trust.Verified]

	ctx  context.Context
	stop context.CancelCauseFunc

	ended atomic.Pointer[relay.End] // set once, with mu held; the pools ask at every lease

	mu    sync.Mutex // guards relay
	relay *relay.Session

	console *admin.Console // instead of relay; guarded by mu
}

// receive takes an accepted socket to the end of its login, and is its end if that is not let in. An open
// session goes on in a goroutine of its own: the login's has a stack that a handshake has made deep,
// and would keep it for as long as the client stays.
func (s *session) receive(raw net.Conn) {
	s.raw = raw
	var opened *relay.Session
	defer func() {
		if opened == nil {
			s.hangUp()
		}
	}()
	defer s.server.recoverSession(s) // when nothing else of it is left
	defer func() {
		if opened == nil {
			s.depart()
		}
	}()
	if opened = s.arrive(raw); opened != nil {
		s.server.sessions.Go(func() { s.serve(opened) })
	}
}

// arrive takes an accepted socket through admission and login. It returns nil when that was not let in,
// or was not for a session of the relay's.
func (s *session) arrive(raw net.Conn) *relay.Session {
	stop := s.stop
	leave := context.AfterFunc(s.server.admission, func() { stop(context.Cause(s.server.admission)) })
	client, cancel, err := downstream.Admit(s.ctx, raw, s.door.admit)
	leave()
	switch {
	case err != nil:
		s.turnAway(err)
		return nil
	case cancel != nil:
		if s.server.cancelRequest(s.ctx, cancel) {
			s.door.proven(cancel.Addr.Addr())
		}
		return nil
	}
	s.client = client
	s.stop(nil) // admission's children have left a map in it
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.server.live.enter(s)
	s.at(pointEntered)
	return s.letIn()
}

// serve takes an open session to its end. Its goroutine waits for an idle client with less than 2 KiB on
// its stack, so that the collector cuts an 8 KiB stack, which a request may take, in half.
func (s *session) serve(opened *relay.Session) {
	defer s.hangUp()
	defer s.server.recoverSession(s)
	defer s.depart()
	s.close(opened.Run())
}

// depart takes the session out of every index and count.
func (s *session) depart() {
	if s.client == nil {
		return
	}
	if s.keyed {
		s.server.keys.remove(s, s.pid)
	}
	s.countOut()
	s.server.live.leave(s)
	s.server.expiries.forget(s) // after it has left: see watchExpiry
}

// hangUp closes what is left of the session: its socket.
func (s *session) hangUp() {
	if s.client != nil {
		s.client.Conn.Close()
	}
	s.raw.Close() // after a panic; else it has been
	s.stop(nil)
	s.leaveDoor()
}

// end ends the session wherever in its life it is; the first cause counts. It says whether e is the
// first.
func (s *session) end(e relay.End) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first = s.ended.CompareAndSwap(nil, &e)
	cause := s.ended.Load()
	s.stop(endError(cause))
	if s.relay != nil {
		s.relay.End(*cause)
	}
	return first
}

// drain ends the session at its next transaction boundary; one that is not open yet, at once.
func (s *session) drain(e relay.End) {
	s.mu.Lock()
	r := s.relay
	s.mu.Unlock()
	if r == nil {
		s.end(e)
		return
	}
	r.Drain(e)
}

// relaying is the session's relay, or nil while its login is not done.
func (s *session) relaying() *relay.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relay
}

// isOpen says whether the session was let in.
func (s *session) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relay != nil || s.console != nil
}

func (s *session) endedBy() *relay.End { return s.ended.Load() }

// isEnded is asked by the pool at every hand-off (T90).
func (s *session) isEnded() bool { return s.endedBy() != nil }

// endError is the cause of a session's end as an error that its client may see.
func endError(e *relay.End) error {
	if e.Tell == nil {
		return errAbandoned
	}
	return e.Tell
}

// close records the end of an open session.
func (s *session) close(result *relay.Result) {
	s.recorded = false
	s.server.metrics.Ended(string(result.Reason))
	if r := s.relaying(); r != nil {
		s.server.traffic.close(s, r)
	}
	s.server.recordBestEffort(&audit.Record{
		Event: audit.SessionClose, SID: s.id.String(), End: auditEnd(result, s.began),
	})
	s.client.Conn.Finish(finishTimeout)
	s.server.log.Info("session closed", zap.Stringer("sid", s.id),
		zap.String("reason", string(result.Reason)), zap.Int64("elapsed_ms", time.Since(s.began).Milliseconds()),
		zap.Int64("bytes_up", result.BytesIn), zap.Int64("bytes_down", result.BytesOut))
}

// finishTimeout bounds the wait for a client to take its last message.
const finishTimeout = 2 * time.Second
