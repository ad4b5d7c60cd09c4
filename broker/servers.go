package broker

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/broker/upstream"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/policy"
)

// poolKey is who may share the server connections of a grant (W45): never another role's, and with
// `share` not even another map's or identity's.
func poolKey(g *policy.Grant, share string) pool.Key {
	key := pool.Key{Upstream: g.Upstream, Database: g.DBName, Role: g.Role}
	switch share {
	case "identity":
		key.Share = "identity " + g.IdentityKey
	case "role":
	default:
		key.Share = "map " + g.Rule.Name
	}
	return key
}

// asking is what a session asks the pools for, under one decision.
type asking struct {
	by     *decision
	pool   *pool.Asker[*relay.Server]
	waited admin.Observer
}

// asks is what the session asks the pools for now. Called by whoever runs the session.
func (s *session) asks() (*asking, error) {
	d := s.decided.Load()
	if s.asking != nil && s.asking.by == d {
		return s.asking, nil
	}
	request, err := poolRequest(s, d)
	if err != nil {
		return nil, err
	}
	s.asking = &asking{by: d, pool: s.server.pools.Asker(request), waited: s.server.metrics.Acquiring(request.Key.Upstream)}
	return s.asking, nil
}

// poolRequest asks for the server connection that the session's grant names.
func poolRequest(c *session, d *decision) (pool.Request, error) {
	up := d.snapshot.Upstreams[d.grant.Upstream]
	if up == nil {
		return pool.Request{}, fmt.Errorf("upstream %q of %s is not configured", d.grant.Upstream, d.grant.Rule)
	}
	limits := up.Pool.Limits
	limits.MapMax = d.grant.Limits.Pool
	key := poolKey(d.grant, up.Pool.Share)
	if d.request.Replication {
		key.Replication, key.Share = true, c.id.String() // a walsender serves one client (W63)
		limits.MinIdle = 0
	}
	return pool.Request{
		Key: key, Limits: limits, Map: d.grant.Rule.Name, Session: c.id.String(), Ended: c.isEnded,
	}, nil
}

// dial opens the server connection that the pool asks for and gives it its reader. It runs in a
// goroutine of the pool's: a panic ends the dial, not the process.
func (s *Server) dial(ctx context.Context, key pool.Key) (_ *relay.Server, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("dial panicked", zap.String("upstream", key.Upstream), zap.Any("panic", r), zap.Stack("stack"))
			err = fmt.Errorf("panic during dial: %v", r)
		}
	}()
	up := s.snapshot.Load().Upstreams[key.Upstream]
	if up == nil {
		return nil, fmt.Errorf("upstream %q is not configured", key.Upstream)
	}
	login := upstream.Login{Role: key.Role, Database: key.Database}
	if key.Replication {
		asked, ok := s.walsenders.Load(key.Share)
		if !ok {
			return nil, fmt.Errorf("the client of replication session %s has left", key.Share)
		}
		login.Replication, login.Params = asked.(walsender).mode, asked.(walsender).params
	}
	generation := s.generations.of(key.Upstream)
	began := time.Now()
	conn, err := up.Dial(ctx, login)
	if err != nil {
		s.metrics.ConnectFailed(key.Upstream)
		return nil, err
	}
	s.metrics.Connected(key.Upstream, time.Since(began))
	cfg := relay.ServerConfig{
		ID: s.serverIDs.Add(1), Conn: conn.Net, PID: conn.PID, Params: conn.Params, Addr: conn.Addr,
		CertSerial: conn.CertSerial, CertNotAfter: conn.CertNotAfter, Connect: time.Since(began),
		Generation: generation, PreparedStatements: up.Pool.Prepared, Ended: s.servers.Done,
		Noticed: func(e relay.Event) {
			if e.Kind == relay.NotificationDropped { // nobody is concerned by it
				s.metrics.NotificationDropped(key.Upstream)
				return
			}
			s.noticed(poolEvent{key, conn.Addr, e})
		},
		Panicked: func(value any, stack []byte) {
			s.log.Error("server connection panicked", zap.String("upstream", key.Upstream), zap.String("server_addr", conn.Addr),
				zap.Uint32("server_pid", conn.PID), zap.Any("panic", value), zap.ByteString("stack", stack))
		},
	}
	if len(conn.Secret) > 0 {
		cfg.Cancel = conn.Cancel
	}
	s.greetings.dialled(key, conn.Params)
	s.servers.Add(1)
	return relay.NewServer(cfg), nil
}

// walsender is what a replication client's own server connection is opened with.
type walsender struct {
	mode   string // of the start-up parameter `replication`
	params []pgwire.Param
}

// checkLogin makes sure that a role which is served from the pool could still log in. When it could
// not, the pool is retired, so that the next connection is a new login and PostgreSQL's own word
// decides; ok is false then.
func (s *session) checkLogin(lease relay.Lease) (ok bool) {
	d := s.decided.Load()
	every := d.snapshot.Upstreams[d.grant.Upstream].Pool.LoginCheck
	if lease.Fresh() || d.request.Replication || !lease.CheckDue(every) {
		return true
	}
	ctx, cancel := context.WithTimeout(s.ctx, setupTimeout)
	defer cancel()
	reply, err := lease.Server().Exec(ctx, upstream.LoginCheckQuery)
	if err == nil && reply.Error == nil && len(reply.Values) == 1 && string(reply.Values[0]) == "t" {
		lease.Checked()
		return true
	}
	if s.ctx.Err() != nil {
		return false // the session was ended, which says nothing of the role
	}
	key := poolKey(d.grant, d.snapshot.Upstreams[d.grant.Upstream].Pool.Share)
	s.server.pools.Retire(0, func(i pool.ServerInfo[*relay.Server]) bool { return i.Key == key })
	return false
}

// serverTLS gives a listener's handshakes the TLS configuration of the snapshot in force.
func (s *Server) serverTLS(listener string) func() *tls.Config {
	return func() *tls.Config { return s.snapshot.Load().Trust[listener].ServerTLS() }
}
