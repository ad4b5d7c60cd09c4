package broker

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/broker/relay"
)

// This file acts on what one server connection has noticed and others are concerned by: a server
// that is gone or has changed its part, defaults that have changed, a database about to be dropped.

// poolEvent is an event of a server connection that its whole pool has to hear of.
type poolEvent struct {
	key   pool.Key
	addr  string // of the server
	event relay.Event
}

// noticed takes an event from a server connection, which cannot wait. Events that come faster than
// they are dealt with are the same few again: those too many are dropped.
func (s *Server) noticed(e poolEvent) {
	select {
	case s.events <- e:
	default:
	}
}

// handleEvents acts on what server connections have noticed, until ctx ends.
func (s *Server) handleEvents(ctx context.Context) {
	var probing probes
	defer probing.running.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-s.events:
			s.handle(ctx, &probing, e)
		}
	}
}

func (s *Server) handle(ctx context.Context, probing *probes, e poolEvent) {
	switch e.event.Kind {
	case relay.BaseChanged:
		s.greetings.forget(pool.Scope{Upstream: e.key.Upstream})
	case relay.SettingsRefused:
		s.greetings.forget(pool.Scope{Upstream: e.key.Upstream, Database: e.key.Database})
	case relay.DefaultsChanged:
		s.pools.Retire(0, func(i pool.ServerInfo[*relay.Server]) bool { return i.Key.Upstream == e.key.Upstream }) // W54
	case relay.TypesDropped:
		s.reprepare(e)
	case relay.PartChanged:
		s.changedPart(e)
	case relay.RefusedWrite:
		if up := s.snapshot.Load().Upstreams[e.key.Upstream]; up != nil && !up.TakesStandby() {
			s.changedPart(e)
		}
	case relay.Lost:
		s.pools.Retire(0, func(i pool.ServerInfo[*relay.Server]) bool { return e.sameServer(i) && i.Server.Lost() })
		probing.run(e.addr, func() { s.probe(ctx, e) })
	case relay.DatabaseGoing:
		s.evict(ctx, e)
	}
}

// changedPart ends the connections to a server that may not be what the upstream's target asks for any
// more: new ones are logged in where it is (W70).
func (s *Server) changedPart(e poolEvent) {
	n := s.pools.Retire(0, e.sameServer)
	s.log.Warn("server changed its part", zap.String("upstream", e.key.Upstream),
		zap.String("server_addr", e.addr), zap.Int("retired", n))
}

// reprepare has the statements of a database prepared again whose parameters may be of types that are gone (W43).
func (s *Server) reprepare(e poolEvent) {
	for _, i := range s.pools.Servers() {
		if i.Server != nil && i.Key.Upstream == e.key.Upstream && i.Key.Database == e.key.Database {
			i.Server.Reprepare()
		}
	}
}

// sameServer picks the connections to the server that the event came from.
func (e *poolEvent) sameServer(i pool.ServerInfo[*relay.Server]) bool {
	return i.Key.Upstream == e.key.Upstream && i.Server != nil && i.Server.Addr == e.addr
}

// probe asks a server that a connection was lost to whether it is still there. If not, its other
// connections are ended at once: they may look alive for as long as nobody writes to them, when the
// host has gone without a word. One lost connection alone says little: any role can terminate its own.
func (s *Server) probe(ctx context.Context, e poolEvent) {
	up := s.snapshot.Load().Upstreams[e.key.Upstream]
	if up == nil {
		return
	}
	err := up.Probe(ctx, e.addr)
	if err == nil || ctx.Err() != nil {
		return
	}
	n := s.pools.Retire(0, e.sameServer)
	s.log.Warn("server does not answer", zap.String("upstream", e.key.Upstream),
		zap.String("server_addr", e.addr), zap.Int("retired", n), zap.Error(err))
}

// probes are questions under way, at most one for each server.
type probes struct {
	running sync.WaitGroup

	mu   sync.Mutex // guards asks
	asks map[string]bool
}

// run starts ask, unless the server is being asked already.
func (p *probes) run(addr string, ask func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asks[addr] {
		return
	}
	if p.asks == nil {
		p.asks = make(map[string]bool)
	}
	p.asks[addr] = true
	p.running.Go(func() {
		defer p.done(addr)
		ask()
	})
}

func (p *probes) done(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.asks, addr)
}

// evict closes the idle connections of a database that is about to be dropped or renamed (W98).
func (s *Server) evict(ctx context.Context, e poolEvent) {
	up := s.snapshot.Load().Upstreams[e.key.Upstream]
	if up == nil || !up.Pool.EvictOnDrop {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, evictTimeout)
	defer cancel()
	s.pools.CloseIdle(ctx, pool.Scope{Upstream: e.key.Upstream, Database: e.event.Database})
}

// evictTimeout bounds the wait for idle connections of a database to close. PostgreSQL itself waits
// 5 s for them (CountOtherDBBackends).
const evictTimeout = 5 * time.Second
