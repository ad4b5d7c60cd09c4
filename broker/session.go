package broker

import (
	"context"
	"errors"
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

// letIn takes an admitted client through its login. It returns nil when that was refused, or when the
// session was the console's, which is over.
func (s *session) letIn() *relay.Session {
	if err := s.server.open(s.door); err != nil {
		s.refuse(stageStartup, err)
		return nil
	}
	stage, opened, err := s.login()
	if err != nil {
		if ended := s.endedBy(); ended != nil {
			err = endError(ended) // whatever it was doing failed because of that
		}
		s.refuse(stage, err)
		return nil
	}
	if opened == nil {
		s.serveConsole()
	}
	return opened
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

// Stages of a refused login, as the audit names them.
const (
	stageStartup = "startup"
	stagePolicy  = "policy"
	stageTLS     = "tls"
	stagePool    = "pool"
)

// login proves who the client is, decides what it may be, and gets it a server connection, unless it
// is known what that would say. A login to the console has none, and gives nil.
func (s *session) login() (stage string, opened *relay.Session, err error) {
	settings, err := startupSettings(s.client.Startup)
	if err != nil {
		return stageStartup, nil, err
	}
	if stage, err := s.decide(); err != nil {
		return stage, nil, err
	}
	s.door.proven(s.client.Addr.Addr())
	if err := s.enter(); err != nil {
		return stageStartup, nil, err
	}
	if s.decided.Load().grant.Admin != "" {
		return "", nil, nil
	}
	if err := s.checkDisabled(); err != nil {
		return stagePolicy, nil, err
	}
	if err := s.countIn(); err != nil {
		return stagePool, nil, err
	}
	setup := s.setupFor(settings)
	if s.decided.Load().request.Replication {
		id := s.id.String()
		s.server.walsenders.Store(id, walsender{s.client.Startup.Replication(), walsenderParams(&setup)})
		defer s.server.walsenders.Delete(id)
	}
	first, err := s.beginWith(setup)
	if err != nil {
		return stagePool, nil, err
	}
	defer func() { // after a panic, too
		if opened == nil {
			first.giveUp()
		}
	}()
	s.at(pointLeased)
	if opened, err = s.open(first); err != nil {
		return stagePool, nil, err
	}
	return "", opened, nil
}

// beginning is what a session begins with: a server connection that is fit for it or, in transaction
// mode, what is known of one.
type beginning struct {
	lease   relay.Lease // of server
	server  *relay.Server
	profile *relay.Profile
	told    []pgwire.Param // what its client is told of the server's parameters
}

// giveUp ends the server connection of a session that does not come to be, if it has one.
func (b *beginning) giveUp() {
	if b.server != nil {
		b.lease.Destroy()
	}
}

// beginWith gets what the session begins with.
func (s *session) beginWith(setup relay.Setup) (*beginning, error) {
	if g := s.greeting(&setup); g != nil {
		return &beginning{profile: g.Profile(&setup), told: g.Params}, nil
	}
	lease, profile, err := s.firstServer(setup)
	if err != nil {
		return nil, err
	}
	server := lease.Server()
	s.greet(server, &setup, profile)
	return &beginning{lease: lease, server: server, profile: profile, told: profile.Shown(server.Params())}, nil
}

// firstServer gets the server connection that the session begins with and makes it fit. A used one that
// turns out to have ended is replaced: nothing of the client's was sent on it (W68).
func (s *session) firstServer(setup relay.Setup) (relay.Lease, *relay.Profile, error) {
	for {
		lease, err := s.firstLease()
		if err != nil {
			return lease, nil, err
		}
		profile, err := s.fit(lease, setup)
		if err == nil || lease.Fresh() || !lease.Server().Lost() || s.ctx.Err() != nil {
			return lease, profile, err
		}
	}
}

// fit is prepare; a connection that cannot be made fit is given up, after a panic too.
func (s *session) fit(lease relay.Lease, setup relay.Setup) (profile *relay.Profile, err error) {
	defer func() {
		if profile == nil {
			lease.Destroy()
		}
	}()
	return s.prepare(lease.Server(), setup)
}

// firstLease gets the server connection that the session begins with.
func (s *session) firstLease() (relay.Lease, error) {
	began := time.Now()
	defer func() { s.setup.Queue = time.Since(began) }()
	return s.acquireProven(s.ctx)
}

// acquireProven is acquire for a session's first server connection, which serves a role that may still
// log in (W95). A wait that has failed proves nothing: the next connection is the first again.
func (s *session) acquireProven(ctx context.Context) (relay.Lease, error) {
	for {
		lease, err := s.acquire(ctx)
		if err != nil {
			return lease, err
		}
		if s.checkLogin(lease) {
			s.unproven = false
			return lease, nil
		}
		lease.Destroy()
	}
}

// next is where the relay's server connections come from. Called by whoever runs the session.
func (s *session) next(ctx context.Context) (relay.Lease, error) {
	if s.unproven {
		return s.acquireProven(ctx)
	}
	return s.acquire(ctx)
}

// acquire waits for a server connection of the pool that the session was granted.
func (s *session) acquire(ctx context.Context) (relay.Lease, error) {
	asks, err := s.asks()
	if err != nil {
		return relay.Lease{}, err
	}
	lease, err := asks.pool.Acquire(ctx)
	if err == nil {
		asks.waited.Observe(asks.pool.Waited().Seconds())
		return lease, nil
	}
	if ended := s.endedBy(); ended != nil {
		err = endError(ended)
	}
	return lease, err
}

// open records the access and welcomes the client.
func (s *session) open(first *beginning) (*relay.Session, error) {
	if err := s.recordOpen(s.openRecord(first)); err != nil {
		return nil, err
	}
	s.at(pointRecorded)
	key := s.server.keys.add(s, s.shownPID(first.server), s.client.Startup.Version)
	s.pid, s.keyed = key.PID, true
	if err := s.confirm(); err != nil {
		return nil, err
	}
	s.at(pointConfirmed)
	s.follow()
	if err := downstream.Welcome(s.client, first.told, &key, s.notices); err != nil {
		s.close(&relay.Result{End: relay.End{Reason: relay.ClientClosed}})
		return nil, errAbandoned
	}
	s.notices = nil
	s.at(pointWelcomed)
	s.accepted()
	return s.attach(first), nil
}

// shownPID is the process id that the client is told: its server's in session mode, where the two
// stay together; 0, for one of our own, in transaction mode (W71).
func (s *session) shownPID(server *relay.Server) uint32 {
	if s.mode() == relay.SessionMode {
		return server.PID
	}
	return 0
}

// errAbandoned is a client that left before it was welcomed: there is nobody to tell.
var errAbandoned = errors.New("client left during login")

// prepare makes the server connection the client's: its start-up settings, then the map's (W13, W51).
// A walsender has been given them at its login, and may know no SQL.
func (s *session) prepare(server *relay.Server, setup relay.Setup) (*relay.Profile, error) {
	if s.decided.Load().request.Replication {
		return relay.NewProfile(setup), nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.server.cfg.SetupTimeout)
	defer cancel()
	profile, reply, err := server.Adopt(ctx, setup)
	if err != nil {
		return nil, &refusal{code: pgwire.ConnectionFailure, reason: "upstream_closed", public: "server connection lost", cause: err}
	}
	if reply.Error != nil {
		return nil, refusedSetting(&setup, reply.Error)
	}
	return profile, nil
}

// attach hands the client and what its session begins with to the relay.
func (s *session) attach(first *beginning) *relay.Session {
	d := s.decided.Load()
	up := d.snapshot.Upstreams[d.grant.Upstream]
	cfg := relay.Config{
		Client: s.client.Conn, Mode: s.mode(), Server: first.server, Lease: first.lease, Profile: first.profile,
		Told: first.told, Acquire: s.next, Statements: s.server.statements, ResetAlways: up.Pool.ResetAlways,
		Once: d.request.Replication, Pins: up.Pool.Pins,
		ResetTimeout: up.Pool.ResetTimeout, CancelTimeout: up.CancelTimeout,
	}
	s.observe(&cfg)
	r := relay.New(cfg)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.relay = r
	if e := s.ended.Load(); e != nil {
		r.End(*e)
	}
	return r
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
