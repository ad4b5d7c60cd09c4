package broker

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/broker/upstream"
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

// poolRequest asks for the server connection that the session's grant names.
func (s *Server) poolRequest(c *session) (pool.Request, error) {
	d := c.decided.Load()
	up := d.snapshot.Upstreams[d.grant.Upstream]
	if up == nil {
		return pool.Request{}, fmt.Errorf("upstream %q of %s is not configured", d.grant.Upstream, d.grant.Rule)
	}
	limits := up.Pool.Limits
	limits.MapMax = d.grant.Limits.Pool
	return pool.Request{
		Key: poolKey(d.grant, up.Pool.Share), Limits: limits, Map: d.grant.Rule.Name,
		Session: c.id.String(), Ended: c.isEnded,
	}, nil
}

// dial opens the server connection that the pool asks for and gives it its reader.
func (s *Server) dial(ctx context.Context, key pool.Key) (*relay.Server, error) {
	up := s.snapshot.Load().Upstreams[key.Upstream]
	if up == nil {
		return nil, fmt.Errorf("upstream %q is not configured", key.Upstream)
	}
	began := time.Now()
	conn, err := up.Dial(ctx, upstream.Login{Role: key.Role, Database: key.Database})
	if err != nil {
		return nil, err
	}
	cfg := relay.ServerConfig{
		ID: s.serverIDs.Add(1), Conn: conn.Net, PID: conn.PID, Params: conn.Params, Addr: conn.Addr,
		CertSerial: conn.CertSerial, CertNotAfter: conn.CertNotAfter, Connect: time.Since(began),
		PreparedStatements: up.Pool.Prepared, Ended: s.servers.Done,
	}
	if len(conn.Secret) > 0 {
		cfg.Cancel = conn.Cancel
	}
	s.servers.Add(1)
	return relay.NewServer(cfg), nil
}

// serverTLS gives a listener's handshakes the TLS configuration of the snapshot in force.
func (s *Server) serverTLS(listener string) func() *tls.Config {
	return func() *tls.Config { return s.snapshot.Load().Trust[listener].ServerTLS() }
}
