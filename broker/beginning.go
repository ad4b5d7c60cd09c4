package broker

import (
	"context"
	"time"

	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/pgwire"
)

// This file gets a session its server connections: the one that it begins with, made fit for it, and
// those that the relay asks for later.

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

// setupTimeout bounds each of the broker's own statements on a server connection.
const setupTimeout = 10 * time.Second

// prepare makes the server connection the client's: its start-up settings, then the map's (W13, W51).
// A walsender has been given them at its login, and may know no SQL.
func (s *session) prepare(server *relay.Server, setup relay.Setup) (*relay.Profile, error) {
	if s.decided.Load().request.Replication {
		return relay.NewProfile(setup), nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, setupTimeout)
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
