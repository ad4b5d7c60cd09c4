package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// maxName is the longest role or database name in bytes, PostgreSQL's NAMEDATALEN less its NUL.
const maxName = 63

// check refuses what cannot be a login: a NUL would begin another start-up parameter (W11, T30).
func (l Login) check() error {
	names := []string{l.Role}
	if l.Database != "" || l.Replication != "true" {
		names = append(names, l.Database)
	}
	for _, name := range names {
		if name == "" || len(name) > maxName || strings.ContainsRune(name, 0) {
			return newError("28000", ReasonRole, "the role or database name is not valid",
				fmt.Errorf("role or database name of %d bytes is empty, too long or holds NUL", len(name)))
		}
	}
	for _, p := range l.Params {
		if strings.ContainsRune(p.Name, 0) || strings.ContainsRune(p.Value, 0) {
			return newError("22023", ReasonRole, "a start-up parameter is not valid",
				errors.New("start-up parameter holds NUL"))
		}
	}
	return nil
}

// attempt logs in to one host, within Config.ConnectTimeout.
func (u *Upstream) attempt(ctx context.Context, h host, l Login) (_ *Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, u.cfg.ConnectTimeout)
	defer cancel()
	cert, err := u.cfg.Credential.TLSCertificate(l.Role)
	if err != nil {
		return nil, err
	}
	p := &peer{direct: u.cfg.Negotiation == NegotiateDirect, serverName: u.cfg.ServerName, roots: u.cfg.RootCAs(), cert: cert}
	if p.serverName == "" {
		p.serverName = h.name
	}
	seen := new(shown)
	cfg, err := u.loginConfig(h, l, p, seen)
	if err != nil {
		return nil, err
	}
	pg, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return takeOver(ctx, pg, p)
}

// loginConfig is the pgconn configuration of one attempt. Negotiation is ours, so pgconn is told
// "direct"; it then checks that our certificate was asked for and sent (T71).
func (u *Upstream) loginConfig(h host, l Login, p *peer, seen *shown) (*pgconn.Config, error) {
	port, err := strconv.ParseUint(h.port, 10, 16)
	if err != nil {
		return nil, err
	}
	cfg := u.base.Copy()
	cfg.Host, cfg.Port = h.name, uint16(port)
	cfg.User, cfg.Database = l.Role, l.Database
	cfg.RuntimeParams = make(map[string]string, len(l.Params)+1)
	for _, param := range l.Params {
		cfg.RuntimeParams[param.Name] = param.Value
	}
	if l.Replication != "" {
		cfg.RuntimeParams["replication"] = l.Replication
	}
	if cfg.Password, err = u.cfg.Credential.Password(l.Role); err != nil {
		return nil, err
	}
	if cfg.Password == "" {
		cfg.SSLCertMode, cfg.RequireAuth, cfg.ChannelBinding = "require", "none", "disable"
	} else {
		cfg.SSLCertMode, cfg.RequireAuth, cfg.ChannelBinding = "allow", "scram-sha-256", "require"
	}
	cfg.SSLNegotiation = NegotiateDirect
	cfg.TLSConfig = p.tlsConfig(seen)
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return p.dial(ctx, addr)
	}
	cfg.AfterNetConnect = func(ctx context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		return conn, p.handshake(ctx, conn)
	}
	return cfg, nil
}

// dial opens a TCP connection and asks for TLS on it.
func (p *peer) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, unreachable(err)
	}
	if err := p.negotiate(ctx, conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// handshake completes TLS now: tls.Client alone would leave it to the first write.
func (p *peer) handshake(ctx context.Context, conn net.Conn) error {
	tc, ok := conn.(*tls.Conn)
	if !ok {
		return noTLS(errors.New("connection without TLS"))
	}
	if err := tc.HandshakeContext(ctx); err != nil {
		return noTLS(err)
	}
	return p.checkALPN(tc.ConnectionState())
}

// takeOver makes an idle pgconn connection ours.
func takeOver(ctx context.Context, pg *pgconn.PgConn, p *peer) (*Conn, error) {
	if err := pg.SyncConn(ctx); err != nil { // W17
		pg.Close(ctx)
		return nil, unreachable(err)
	}
	hc, err := pg.Hijack()
	if err != nil {
		return nil, err
	}
	return newConn(hc, p, time.Now()), nil
}
