package broker

import (
	"errors"

	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/broker/relay"
)

// This file takes an admitted client through its login: who it is, what it may be, what it begins with,
// the record of its access, the welcome.

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
