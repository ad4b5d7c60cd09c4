package broker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/broker/upstream"
)

// This file keeps the upstreams of the snapshot in force at work: it follows their files, recycles
// connections when certificates change, and ends what has left the configuration.

// CheckSeparation reports an issuing CA that is also trusted for clients, in itself or by its key:
// whoever has a client's certificate of that CA could ask for a role's (T81). It holds at start and
// for every snapshot that is to replace another.
func (s *Snapshot) CheckSeparation() error {
	for name, up := range s.Upstreams {
		if !up.Issuer || up.Files == nil {
			continue
		}
		if err := s.checkIssuer(name, up.Files.Material()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) checkIssuer(name string, m *trust.UpstreamMaterial) error {
	for listener, t := range s.Trust {
		if trust.SharesKey(m.Pair.Leaf, t.Anchors()) {
			return fmt.Errorf("the issuing CA of upstream %q is a client CA of listener %q: use one CA for each purpose", name, listener)
		}
	}
	return nil
}

// snapshotReplaced is called after another snapshot was put in force: upstreams that came are
// followed, those that have left are ended. It does not wait for that.
func (s *Server) snapshotReplaced() {
	select {
	case s.replaced <- struct{}{}:
	default:
	}
}

// follower is one upstream that is being followed.
type follower struct {
	name string
	stop context.CancelFunc
	done sync.WaitGroup
}

func (f *follower) end(up *upstream.Upstream) {
	f.stop()
	f.done.Wait()
	up.Close()
}

// followUpstreams runs until ctx ends and has joined everything it started by then.
func (s *Server) followUpstreams(ctx context.Context) {
	running := make(map[*upstream.Upstream]*follower)
	for {
		s.followSnapshot(ctx, running)
		select {
		case <-s.replaced:
		case <-ctx.Done():
			for up, f := range running {
				f.end(up)
			}
			return
		}
	}
}

// followSnapshot starts and ends followers until they are those of the snapshot in force.
func (s *Server) followSnapshot(ctx context.Context, running map[*upstream.Upstream]*follower) {
	snap := s.snapshot.Load()
	wanted := make(map[*upstream.Upstream]bool)
	for name, up := range snap.Upstreams {
		wanted[up.Upstream] = true
		if running[up.Upstream] != nil {
			continue
		}
		f := &follower{name: name}
		running[up.Upstream] = f
		ctx, stop := context.WithCancel(ctx)
		f.stop = stop
		if up.Files != nil {
			f.done.Go(func() { s.followFiles(ctx, name, up) })
		}
	}
	for up, f := range running {
		if wanted[up] {
			continue
		}
		delete(running, up)
		f.end(up)
		if snap.Upstreams[f.name] == nil {
			s.greetings.forget(pool.Scope{Upstream: f.name})
			s.pools.Forget(func(k pool.Key) bool { return k.Upstream == f.name })
			s.log.Info("upstream has left the configuration", zap.String("upstream", f.name))
			continue
		}
		s.recycle(f.name, 0) // reached or logged in to in another way: an administrator waits for it
	}
}

// recycleShare is the part of max_lifetime over which connections are spread that end because new
// certificates are in force (T80).
const recycleShare = 10

// recycle ends the upstream's connections, each when it is idle, spread over a duration: new ones take their
// place. It returns how many there are.
func (s *Server) recycle(name string, within time.Duration) int {
	s.generations.next(name)
	return s.pools.Retire(within, func(i pool.ServerInfo[*relay.Server]) bool { return i.Key.Upstream == name })
}

// followFiles puts new certificates of an upstream in force as they come, until ctx ends.
func (s *Server) followFiles(ctx context.Context, name string, up *Upstream) {
	judge := func(m *trust.UpstreamMaterial) error {
		if !up.Issuer {
			return nil
		}
		return s.snapshot.Load().checkIssuer(name, m)
	}
	up.Files.Run(ctx, judge, func(c trust.UpstreamChange) { s.filesChanged(name, c) })
}

// generations tell the connections of an upstream apart by what was in force when they were dialled:
// certificates, CAs, where and how to log in. The zero value is ready.
type generations struct {
	mu     sync.Mutex // guards passed
	passed map[string]uint64
}

// of is the generation that a connection dialled now belongs to, from 1.
func (g *generations) of(name string) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.passed[name] + 1
}

// next begins another.
func (g *generations) next(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.passed == nil {
		g.passed = make(map[string]uint64)
	}
	g.passed[name]++
}

// filesChanged recycles the connections that were made with what was in force before.
func (s *Server) filesChanged(name string, c trust.UpstreamChange) {
	switch {
	case c.Waiting:
		s.log.Debug("upstream certificate and key do not fit yet", zap.String("upstream", name), zap.Error(c.Err))
	case c.Err != nil:
		s.log.Error("upstream certificates not renewed", zap.String("upstream", name), zap.Error(c.Err))
	default:
		var within time.Duration
		if up := s.snapshot.Load().Upstreams[name]; up != nil {
			within = up.Pool.Limits.MaxLifetime / recycleShare
		}
		n := s.recycle(name, within)
		s.log.Info("upstream certificates renewed", zap.String("upstream", name), zap.Int("recycled", n),
			zap.Int("cas", len(c.New.CAs)), zap.String("cert_serial", serialOf(c.New)))
	}
}

func serialOf(m *trust.UpstreamMaterial) string {
	if m.Pair == nil {
		return ""
	}
	return m.Pair.Leaf.SerialNumber.Text(16)
}

// RecordMint writes the record of a certificate that was minted for a role. An error means that it
// must not be used (T74): with strict delivery the record has to be durable, otherwise a full queue
// keeps nobody out.
func RecordMint(ctx context.Context, trail *audit.Log, name string, m upstream.Mint) error {
	record := &audit.Record{Event: audit.Minted, Mint: &audit.Mint{
		Upstream: name, Role: m.Role, Serial: m.Serial, SHA256: m.SHA256, NotAfter: m.NotAfter,
	}}
	if err := trail.Write(ctx, record); err != nil && trail.Strict() {
		return err
	}
	return nil
}
