package broker

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/policy"
)

// viewer builds an admin.State: everything that the console shows, from one look at the broker.
type viewer struct {
	server  *Server
	catalog *Catalog
	snap    *Snapshot
	live    []*session
	stats   []pool.Stats
	infos   []pool.ServerInfo[*relay.Server]
	now     time.Time
	state   admin.State
}

func (s *Server) state() *admin.State {
	snap := s.snapshot.Load()
	v := &viewer{
		server: s, snap: snap, catalog: &snap.Catalog, live: s.live.all(),
		stats: s.pools.Stats(), infos: s.pools.Servers(), now: time.Now(),
	}
	slices.SortFunc(v.live, func(a, b *session) int { return cmp.Compare(a.number, b.number) })
	v.state = admin.State{
		Now: v.now, Console: v.catalog.Console, Settings: v.catalog.Settings,
		Locks: s.locks.all(v.now), Paused: s.pools.Paused(pool.Key{}),
	}
	for _, d := range s.doors {
		v.state.HalfOpen += int(d.halfOpen.Load())
	}
	v.sessions()
	v.servers()
	v.pools()
	v.databases()
	v.users()
	v.state.Totals, v.state.Averages = s.statistics(v.catalog, v.live, v.stats, v.now)
	v.certs()
	v.maps()
	v.trust()
	v.memory()
	return &v.state
}

func (v *viewer) sessions() {
	for _, c := range v.live {
		d := c.decided.Load()
		if d == nil || d.grant == nil {
			continue
		}
		row := admin.Session{
			ID: c.number, SID: c.id.String(), State: "active", Console: d.grant.Admin != "",
			Role: d.grant.Role, Database: d.grant.Database, Map: d.grant.Rule.Name, Replication: replication(c),
			Connected: c.began, Requested: c.began, TLS: tlsText(&c.client.TLS),
			Subject: d.identity.DN, Issuer: d.identity.Issuer, Serial: d.identity.Serial, Cert: d.identity.SHA256,
			SPIFFE: d.identity.SPIFFE, NotAfter: d.verified.NotAfter,
		}
		row.App, _ = c.client.Startup.Get("application_name")
		row.Addr, row.Port = c.client.Addr.Addr().String(), int(c.client.Addr.Port())
		row.LocalAddr, row.LocalPort = hostPort(c.client.Conn.LocalAddr())
		if !row.Console {
			row.PoolMode = d.mode().String()
			v.relayed(&row, c)
		}
		v.state.Sessions = append(v.state.Sessions, row)
	}
}

// relayed fills in what the relay knows of a session; while there is none, it waits for its first
// server connection.
func (v *viewer) relayed(row *admin.Session, c *session) {
	r := c.relaying()
	if r == nil {
		row.State, row.Wait = "waiting", v.now.Sub(c.began)
		return
	}
	view, clocks, totals := r.View(), r.Clocks(), r.Totals()
	row.Pinned, row.Prepared, row.Requested = view.Pinned, view.Prepared, clocks.LastActive
	row.Statements, row.BytesIn, row.BytesOut = totals.Statements, totals.BytesIn, totals.BytesOut
	switch {
	case view.Waiting:
		row.State, row.Wait = "waiting", v.now.Sub(clocks.LastActive)
	case view.Server == nil:
		row.State = "idle"
	default:
		row.Server, row.ServerPID = serverPointer(view.Server), view.Server.PID
	}
}

func serverPointer(s *relay.Server) string { return "s" + strconv.FormatUint(s.ID, 10) }

func replication(c *session) string {
	switch c.client.Startup.Replication() {
	case "":
		return "none"
	case "database":
		return "logical"
	}
	return "physical"
}

// tlsText is the protocol and cipher as PgBouncer writes them; "" in clear.
func tlsText(state *tls.ConnectionState) string {
	if state.Version == 0 {
		return ""
	}
	return strings.Replace(tls.VersionName(state.Version), "TLS ", "TLSv", 1) + "/" + tls.CipherSuiteName(state.CipherSuite)
}

func hostPort(a net.Addr) (host string, port int) {
	if a == nil {
		return "", 0
	}
	return splitAddr(a.String())
}

func splitAddr(s string) (host string, port int) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return s, 0
	}
	port, _ = strconv.Atoi(text)
	return host, port
}

func (v *viewer) servers() {
	states := map[pool.State]string{pool.Dialing: "new", pool.Idle: "idle", pool.Leased: "active"}
	for _, i := range v.infos {
		state, shown := states[i.State]
		if !shown {
			continue // it is being closed
		}
		row := admin.Server{State: state, Role: i.Key.Role, Replication: "none", Session: i.Session, Doomed: i.Doomed, Connected: i.Since, Requested: i.Since}
		row.Database, _ = v.catalog.nameOf(i.Key)
		if i.Key.Replication {
			row.Replication = "logical"
		}
		if srv := i.Server; srv != nil {
			row.Ptr, row.ID, row.PID = serverPointer(srv), int32(srv.ID), srv.PID
			row.Addr, row.Port = splitAddr(srv.Addr)
			row.LocalAddr, row.LocalPort = hostPort(srv.Conn.LocalAddr())
			row.Connected = i.Created
			if t, ok := srv.Conn.(*tls.Conn); ok {
				state := t.ConnectionState()
				row.TLS = tlsText(&state)
			}
		}
		v.state.Servers = append(v.state.Servers, row)
	}
}

// pools sums by database and role: `share` may make several pools of one.
func (v *viewer) pools() {
	sums := make(map[[2]string]*admin.Pool)
	at := func(key pool.Key) *admin.Pool {
		name, _ := v.catalog.nameOf(key)
		p := sums[[2]string{name, key.Role}]
		if p == nil {
			p = &admin.Pool{Database: name, Role: key.Role}
			if up := v.snap.Upstreams[key.Upstream]; up != nil {
				p.Mode = up.Pool.Mode.String()
			}
			sums[[2]string{name, key.Role}] = p
		}
		return p
	}
	for _, s := range v.stats {
		p := at(s.Key)
		p.Used += s.Active
		p.Idle += s.Idle
		p.Login += s.Login
		p.Waiting += s.Waiting
		p.MaxWait = max(p.MaxWait, s.MaxWait)
	}
	console := &admin.Pool{Database: v.catalog.Console, Role: v.catalog.Console, Mode: "statement"}
	for _, c := range v.live {
		d := c.decided.Load()
		switch r := c.relaying(); {
		case d == nil || d.grant == nil:
		case d.grant.Admin != "":
			console.Active++
		case r != nil && !r.View().Waiting:
			at(pool.Key{Upstream: d.grant.Upstream, Database: d.grant.DBName, Role: d.grant.Role}).Active++
		}
	}
	for _, p := range sums {
		v.state.Pools = append(v.state.Pools, *p)
	}
	slices.SortFunc(v.state.Pools, func(a, b admin.Pool) int {
		return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.Role, b.Role))
	})
	v.state.Pools = append(v.state.Pools, *console)
}

// databases lists those of the configuration, those that "*" passes through and that are in use, and
// the console.
func (v *viewer) databases() {
	list := slices.DeleteFunc(slices.Clone(v.catalog.Databases), func(d CatalogDatabase) bool { return d.Name == anyDatabase })
	for _, s := range v.stats {
		if name, configured := v.catalog.nameOf(s.Key); !configured && !slices.ContainsFunc(list, func(d CatalogDatabase) bool { return d.Name == name }) {
			if d, ok := v.catalog.database(name); ok {
				list = append(list, d)
			}
		}
	}
	for _, d := range list {
		v.state.Databases = append(v.state.Databases, v.database(d))
	}
	v.state.Databases = append(v.state.Databases, admin.Database{
		Name: v.catalog.Console, DBName: v.catalog.Console, Mode: "statement", Clients: v.clientsOf(v.catalog.Console),
	})
}

// clientsOf is how many sessions a database has.
func (v *viewer) clientsOf(name string) int {
	n := 0
	for i := range v.state.Sessions {
		if v.state.Sessions[i].Database == name {
			n++
		}
	}
	return n
}

func (v *viewer) database(d CatalogDatabase) admin.Database {
	key := pool.Key{Upstream: d.Upstream, Database: d.DBName}
	row := admin.Database{
		Name: d.Name, DBName: d.DBName, Paused: v.server.pools.Paused(key), Disabled: v.server.pools.Disabled(key),
	}
	var hosts []string
	for i, h := range d.Hosts {
		host, port := splitAddr(h)
		hosts = append(hosts, host)
		if i == 0 {
			row.Port = port
		}
	}
	row.Host = strings.Join(hosts, ",")
	if up := v.snap.Upstreams[d.Upstream]; up != nil {
		l := up.Pool.Limits
		row.PoolSize, row.MinIdle, row.MaxLifetime, row.MaxConnections = l.Size, l.MinIdle, l.MaxLifetime, l.UpstreamMax
		row.Mode = up.Pool.Mode.String()
	}
	for _, s := range v.stats {
		if s.Key.Upstream == d.Upstream && s.Key.Database == d.DBName {
			row.Connections += s.Active + s.Idle + s.Login + s.Closing
		}
	}
	row.Clients = v.clientsOf(d.Name)
	return row
}

func (v *viewer) users() {
	users := make(map[string]*admin.User)
	at := func(name string) *admin.User {
		if users[name] == nil {
			users[name] = &admin.User{Name: name}
		}
		return users[name]
	}
	for _, p := range v.state.Pools {
		u := at(p.Role)
		u.Connections += p.Used + p.Idle + p.Login
		u.Clients += p.Active + p.Waiting
	}
	for _, u := range users {
		v.state.Users = append(v.state.Users, *u)
	}
	slices.SortFunc(v.state.Users, func(a, b admin.User) int { return cmp.Compare(a.Name, b.Name) })
}

func (v *viewer) certs() {
	count := make(map[string]int)
	for i := range v.state.Sessions {
		count[v.state.Sessions[i].Cert]++
	}
	c := &v.server.census
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.certs {
		row := s.Cert
		row.Sessions = count[row.SHA256]
		row.Locked = v.server.locks.find(s.id, s.v, v.now) != nil
		v.state.Certs = append(v.state.Certs, row)
	}
	slices.SortFunc(v.state.Certs, func(a, b admin.Cert) int { return cmp.Compare(a.SHA256, b.SHA256) })
}

// maps lists the rules in the order in which they decide: every deny, then the maps.
func (v *viewer) maps() {
	count := make(map[string]int)
	for i := range v.state.Sessions {
		count[v.state.Sessions[i].Map]++
	}
	c := &v.server.census
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, kind := range []policy.Kind{policy.Deny, policy.Map} {
		for i := range v.catalog.Rules {
			r := &v.catalog.Rules[i]
			if r.Kind != kind {
				continue
			}
			row := describeRule(r)
			if kind == policy.Map {
				row.Sessions = count[r.Name]
			}
			if n := c.rules[ruleKey{kind, r.Name}]; n != nil {
				row.Granted, row.Refused, row.LastUsed = n.granted, n.refused, n.last
			}
			v.state.Maps = append(v.state.Maps, row)
		}
	}
}

func describeRule(r *policy.Rule) admin.Map {
	var match []string
	for i := range r.Match {
		match = append(match, r.Match[i].Name()+" = "+strings.Join(r.Match[i].Values, " | "))
	}
	roles := r.Roles
	if r.Role != "" {
		roles = append([]string{r.Role}, roles...)
	}
	if r.Admin != "" {
		roles = []string{"admin " + r.Admin}
	}
	return admin.Map{
		Kind: r.Kind.String(), Name: r.Name, Source: fmt.Sprintf("%s:%d", filepath.Base(r.File), r.Line),
		Match: strings.Join(match, ", "), Roles: strings.Join(roles, ","), Databases: strings.Join(r.Databases, ","),
	}
}

// trust lists what each listener shows and believes, in the listeners' order.
func (v *viewer) trust() {
	for _, d := range v.server.doors {
		s := v.snap.Trust[d.name]
		for _, c := range s.Certificates() {
			v.state.Trust = append(v.state.Trust, admin.Trust{
				Listener: d.name, Kind: c.Role, Subject: c.Subject, SHA256: c.SHA256, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
			})
		}
		for _, c := range s.CRLs() {
			v.state.Trust = append(v.state.Trust, admin.Trust{
				Listener: d.name, Kind: "crl", Subject: c.Issuer, Number: c.Number, NotBefore: c.ThisUpdate, NotAfter: c.NextUpdate,
				Entries: c.Entries, File: c.File, Unusable: c.Unusable,
			})
		}
	}
}

// memory tells the heap in KiB, and the sessions and servers with what one costs, about.
func (v *viewer) memory() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	v.state.Memory = []admin.Memory{
		{Name: "heap", Size: 1 << 10, Used: int(m.HeapInuse >> 10), Free: int((m.HeapSys - m.HeapInuse) >> 10)},
		{Name: "stack", Size: 1 << 10, Used: int(m.StackInuse >> 10), Free: int((m.StackSys - m.StackInuse) >> 10)},
		{Name: "client_cache", Size: 12 << 10, Used: len(v.state.Sessions)},
		{Name: "server_cache", Size: 48 << 10, Used: len(v.state.Servers)},
	}
}
