package broker

import (
	"slices"
	"sync"

	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/pgwire"
)

// This file lets clients in transaction mode in without a server connection: what PostgreSQL says to
// a login it has said to the one before. The first login of a pool key, and the first with settings
// that no login there has brought, still get a server connection and PostgreSQL's own answer. So does
// any while the pool has none that goes on: after RECONNECT, a failover, a loss. What a new server
// connection then reports is compared with what is remembered (dialled).

// maxGreeted and maxGreetings bound what is remembered: so many pool keys, and so many setups of
// each. Beyond them any one is forgotten, which costs the next login of its kind a server connection.
const (
	maxGreeted   = 4096
	maxGreetings = 64
)

// greetings remembers by pool key what clients are told at login. The zero value is ready; safe for
// concurrent use.
type greetings struct {
	mu  sync.Mutex
	all map[pool.Key]*greeted
}

// greeted is a pool key whose servers report the same.
type greeted struct {
	base    []pgwire.Param             // what a server reports before anything is set
	bySetup map[string]*relay.Greeting // by relay.Setup.Key
}

// find returns the greeting of a setup, or nil.
func (g *greetings) find(key pool.Key, setup *relay.Setup) *relay.Greeting {
	var room [256]byte
	of, ok := setup.Key(room[:0])
	if !ok {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if known := g.all[key]; known != nil {
		return known.bySetup[string(of)]
	}
	return nil
}

// dialled notes what a new server of the key reports: when that is not what the others did, nothing
// that was remembered of them holds.
func (g *greetings) dialled(key pool.Key, base []pgwire.Param) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if known := g.all[key]; known != nil && !slices.Equal(known.base, base) {
		delete(g.all, key)
	}
}

// remember keeps the greeting of a setup, as a server of the key that reported base at its login has
// shown it.
func (g *greetings) remember(key pool.Key, setup *relay.Setup, base []pgwire.Param, greeting *relay.Greeting) {
	of, ok := setup.Key(nil)
	if !ok {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	known := g.all[key]
	switch {
	case known == nil:
		if g.all == nil {
			g.all = make(map[pool.Key]*greeted)
		}
		makeRoom(g.all, maxGreeted)
		known = &greeted{base: base, bySetup: make(map[string]*relay.Greeting)}
		g.all[key] = known
	case !slices.Equal(known.base, base):
		return // a newer server has reported otherwise
	}
	makeRoom(known.bySetup, maxGreetings)
	known.bySetup[string(of)] = greeting
}

// makeRoom drops any one entry of a map that has limit of them.
func makeRoom[K comparable, V any](m map[K]V, limit int) {
	if len(m) < limit {
		return
	}
	for k := range m {
		delete(m, k)
		return
	}
}

// forget drops what is remembered of the keys in scope.
func (g *greetings) forget(scope pool.Scope) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key := range g.all {
		if scope.Contains(key) {
			delete(g.all, key)
		}
	}
}

// greets gives the pool key and the upstream of a session whose login may be answered by, and adds to,
// what is remembered; ok is false for the others: in session mode, and of replication.
func (s *session) greets() (key pool.Key, up *Upstream, ok bool) {
	d := s.decided.Load()
	if s.mode() != relay.TransactionMode || d.request.Replication {
		return pool.Key{}, nil, false
	}
	if up = d.snapshot.Upstreams[d.grant.Upstream]; up == nil {
		return pool.Key{}, nil, false
	}
	return poolKey(d.grant, up.Pool.Share), up, true
}

// greeting is what the session's client may be told without a server connection, or nil: then it has
// to have one. Called by login.
func (s *session) greeting(setup *relay.Setup) *relay.Greeting {
	key, up, ok := s.greets()
	if !ok {
		return nil
	}
	found := s.server.greetings.find(key, setup)
	if found == nil || !s.server.pools.Ready(key, up.Pool.LoginCheck) {
		return nil
	}
	s.unproven = true
	return found
}

// greet keeps what the login has shown for those that come after it. Called by login, which holds the
// server with the session's setup.
func (s *session) greet(server *relay.Server, setup *relay.Setup, profile *relay.Profile) {
	key, _, ok := s.greets()
	if !ok {
		return
	}
	s.server.greetings.remember(key, setup, server.ServerConfig.Params, server.Greeting(profile, setup))
}
