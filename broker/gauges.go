package broker

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/policy"
)

// Metrics are the server's, for the HTTP endpoint.
func (s *Server) Metrics() *admin.Metrics { return s.metrics }

// expectCounts has the counters of what a snapshot names begin at 0.
func (s *Server) expectCounts(next *Snapshot) {
	for _, d := range s.doors {
		s.metrics.ExpectListener(d.name, doorFull, doorHalfOpen, doorPerAddress)
	}
	for name := range next.Upstreams {
		s.metrics.ExpectUpstream(name)
	}
	for _, r := range next.Catalog.Rules {
		if r.Kind == policy.Map {
			s.metrics.ExpectMap(r.Name)
		}
	}
}

// Ready says what must hold for new logins to be served, and whether it does.
func (s *Server) Ready() []admin.Check {
	checks := []admin.Check{{Name: "accepting", Err: s.accepting()}}
	snap := s.snapshot.Load()
	for _, d := range s.doors {
		checks = append(checks, admin.Check{Name: "certificate " + d.name, Err: inDate(snap, d.name, time.Now())})
	}
	var stuck error
	if s.cfg.Audit.Strict() {
		stuck = s.cfg.Audit.Healthy()
	}
	return append(checks, admin.Check{Name: "audit", Err: stuck})
}

func (s *Server) accepting() error {
	switch {
	case s.stopping.Load():
		return errors.New("draining")
	case s.Released():
		return errors.New("handed over to a new process")
	case !s.serving.Load():
		return errors.New("starting")
	}
	return nil
}

// inDate says whether a listener's own certificate can be shown to clients.
func inDate(snap *Snapshot, listener string, now time.Time) error {
	for _, c := range snap.Trust[listener].Certificates() {
		if c.Role == "server" && now.After(c.NotAfter) {
			return fmt.Errorf("expired on %s", c.NotAfter.UTC().Format(time.DateTime))
		}
	}
	return nil
}

// reloads remembers how the last reload of each kind went. Safe for concurrent use.
type reloads struct {
	mu   sync.Mutex
	last map[string]admin.ReloadGauge // by listener, "" the configuration
}

// NoteReload notes the outcome of a reload: of the configuration when listener is "", else of a
// listener's certificates and revocation lists.
func (s *Server) NoteReload(listener string, err error) {
	r := &s.reloads
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = make(map[string]admin.ReloadGauge)
	}
	g := r.last[listener]
	g.Listener, g.Successful = listener, err == nil
	if err == nil {
		g.LastSuccess = time.Now()
	}
	r.last[listener] = g
}

func (r *reloads) all() []admin.ReloadGauge {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]admin.ReloadGauge, 0, len(r.last))
	for _, g := range r.last {
		list = append(list, g)
	}
	return list
}

// gauges is what /metrics tells of now.
func (s *Server) gauges() admin.Gauges {
	snap := s.snapshot.Load()
	live := s.live.all()
	g := admin.Gauges{Ready: true, Sessions: make(map[string]int), Pinned: make(map[string]int64), Reloads: s.reloads.all(), Locks: len(s.locks.all(time.Now()))}
	for _, c := range s.Ready() {
		g.Ready = g.Ready && c.Err == nil
	}
	for _, r := range snap.Catalog.Rules {
		if r.Kind == policy.Map {
			g.Sessions[r.Name] = 0 // a graph of nobody is a line, not a gap
		}
	}
	for _, c := range live {
		if d := c.decided.Load(); d != nil && d.grant != nil && c.isOpen() {
			g.Sessions[d.grant.Rule.Name]++
		}
	}
	for _, d := range s.doors {
		g.Listeners = append(g.Listeners, admin.ListenerGauge{Name: d.name, Clients: d.clients.Load(), HalfOpen: d.halfOpen.Load(), Held: d.held.Load()})
	}
	for name, u := range snap.Upstreams {
		g.Pinned[name] = u.Pool.Pins.Held()
		if u.Files != nil {
			g.Upstreams = append(g.Upstreams, upstreamGauge(name, u))
		}
	}
	g.Pools = poolGauges(&snap.Catalog, s.pools.Stats(), live)
	g.Traffic = trafficGauges(&snap.Catalog, s.traffic.totals(live))
	stats := s.cfg.Audit.Stats()
	g.Audit = admin.AuditGauge{
		Lost: stats.Lost, Lines: stats.Lines, Bytes: stats.Bytes, Failures: stats.Failures,
		Queued: stats.Queued, Healthy: s.cfg.Audit.Healthy() == nil, Refused: stats.Refused,
	}
	if s.cfg.Sinks != nil {
		g.Sinks = s.cfg.Sinks()
	}
	for _, d := range s.doors {
		addTrust(&g, snap, d.name)
	}
	return g
}

// addTrust adds what one listener has loaded. Certificates of a kind are told apart by their place.
func addTrust(g *admin.Gauges, snap *Snapshot, listener string) {
	kinds := make(map[string]int)
	for _, c := range snap.Trust[listener].Certificates() {
		g.Certificates = append(g.Certificates, admin.CertificateGauge{
			Listener: listener, Kind: c.Role, Position: kinds[c.Role], NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		})
		kinds[c.Role]++
	}
	for i, c := range snap.Trust[listener].CRLs() {
		g.CRLs = append(g.CRLs, admin.CRLGauge{Listener: listener, Position: i, NextUpdate: c.NextUpdate})
	}
}

// upstreamGauge tells of an upstream's files.
func upstreamGauge(name string, u *Upstream) admin.UpstreamGauge {
	status, m := u.Files.Status(), u.Files.Material()
	g := admin.UpstreamGauge{Name: name, Successful: status.Err == nil, LastSuccess: status.LoadedAt}
	for i, ca := range m.CAs {
		g.Certificates = append(g.Certificates, admin.CertificateGauge{Kind: "server_ca", Position: i, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter})
	}
	if m.Pair != nil {
		kind := "certificate"
		if u.Issuer {
			kind = "issuer"
		}
		g.Certificates = append(g.Certificates, admin.CertificateGauge{Kind: kind, NotBefore: m.Pair.Leaf.NotBefore, NotAfter: m.Pair.Leaf.NotAfter})
	}
	return g
}

// poolGauges sums pools and sessions by upstream and database.
func poolGauges(c *Catalog, stats []pool.Stats, live []*session) []admin.PoolGauge {
	byLabel := make(map[[2]string]*admin.PoolGauge)
	var order [][2]string
	at := func(key pool.Key) *admin.PoolGauge {
		label := [2]string{key.Upstream, c.label(key)}
		if byLabel[label] == nil {
			byLabel[label] = &admin.PoolGauge{Upstream: label[0], Database: label[1]}
			order = append(order, label)
		}
		return byLabel[label]
	}
	for _, d := range c.Databases {
		at(pool.Key{Upstream: d.Upstream, Database: d.DBName})
	}
	for _, p := range stats {
		g := at(p.Key)
		g.Active += p.Active
		g.Idle += p.Idle
		g.Connecting += p.Login
		g.Ending += p.Closing
		g.ClientsWaiting += p.Waiting
		g.MaxWait = max(g.MaxWait, p.MaxWait)
	}
	for _, s := range live {
		d := s.decided.Load()
		if r := s.relaying(); r != nil && !r.View().Waiting {
			at(pool.Key{Upstream: d.grant.Upstream, Database: d.grant.DBName}).ClientsActive++
		}
	}
	list := make([]admin.PoolGauge, len(order))
	for i, label := range order {
		list[i] = *byLabel[label]
	}
	return list
}

// trafficGauges keeps the names of the configuration and sums the others.
func trafficGauges(c *Catalog, totals map[string]relay.Totals) []admin.TrafficGauge {
	sums := make(map[string]relay.Totals)
	for _, d := range c.Databases {
		sums[d.Name] = relay.Totals{}
	}
	for name, t := range totals {
		if !c.has(name) {
			name = anyDatabase
		}
		sum := sums[name]
		sum.Add(t)
		sums[name] = sum
	}
	var list []admin.TrafficGauge
	for name, t := range sums {
		list = append(list, admin.TrafficGauge{
			Database: name, Transactions: t.Transactions, Queries: t.Queries, BytesIn: t.BytesIn, BytesOut: t.BytesOut,
		})
	}
	return list
}
