package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// maxSecret is the longest cancel secret in bytes, protocol 3.2's (W8).
const maxSecret = 256

// attempt logs in to one address and checks the server; ctx bounds it in time. A panic over what a
// server sent ends this attempt alone.
func (u *Upstream) attempt(ctx context.Context, c candidate, l Login, s secrets) (_ *Conn, err error) {
	p := &peer{
		direct:     u.cfg.Negotiation == NegotiateDirect,
		serverName: u.cfg.ServerName,
		roots:      u.cfg.RootCAs(),
		cert:       s.cert,
	}
	if p.serverName == "" {
		p.serverName = c.host.name
	}
	if p.roots == nil {
		return nil, noTLS(fmt.Errorf("no CA certificates are loaded for upstream %q", u.cfg.Name))
	}
	var raw net.Conn
	defer func() {
		if r := recover(); r != nil {
			err = protocolError(fmt.Errorf("panic during login: %v", r))
		}
		if err != nil && raw != nil {
			raw.Close()
		}
	}()
	seen := new(shown)
	cfg, err := u.loginConfig(c, l, s, p, seen, &raw)
	if err != nil {
		return nil, err
	}
	pg, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, explain(err, p, seen)
	}
	return u.takeOver(ctx, pg, p, l)
}

// loginConfig is the pgconn configuration of one attempt. TLS is asked for by us, so pgconn is told
// "direct"; it then holds the server to our certificate, or to SCRAM with channel binding (T71, T76).
func (u *Upstream) loginConfig(c candidate, l Login, s secrets, p *peer, seen *shown, raw *net.Conn) (*pgconn.Config, error) {
	ip, port, err := splitAddr(c.addr)
	if err != nil {
		return nil, err
	}
	cfg := u.base.Copy()
	cfg.Host, cfg.Port = ip, port
	cfg.User, cfg.Database, cfg.Password = l.Role, l.Database, s.password
	cfg.RuntimeParams = l.runtimeParams()
	if s.password == "" {
		cfg.SSLCertMode, cfg.RequireAuth, cfg.ChannelBinding = "require", "none", "disable"
	} else {
		cfg.SSLCertMode, cfg.RequireAuth, cfg.ChannelBinding = "allow", "scram-sha-256", "require"
	}
	cfg.SSLNegotiation = NegotiateDirect
	cfg.TLSConfig = p.tlsConfig(seen)
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := p.dial(ctx, c.addr)
		if err == nil {
			*raw = conn
		}
		return conn, err
	}
	cfg.AfterNetConnect = func(ctx context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		return conn, p.handshake(ctx, conn, seen) // pgconn closes conn on an error: never return nil
	}
	return cfg, nil
}

// explain adds what a reset right after the handshake may mean: the alert by which a server rejects
// our certificate can be lost when it closes with our first message unread.
func explain(err error, p *peer, seen *shown) error {
	lost := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if lost && seen.done && p.cert != nil {
		return fmt.Errorf("lost after the TLS handshake; does ssl_ca_file hold the CA of our certificate? %w", err)
	}
	return err
}

func splitAddr(addr string) (ip string, port uint16, err error) {
	ip, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return ip, uint16(n), err
}

func (l Login) runtimeParams() map[string]string {
	params := make(map[string]string, len(l.Params)+1)
	for _, p := range l.Params {
		params[p.Name] = p.Value
	}
	if l.Replication != "" {
		params["replication"] = l.Replication
	}
	return params
}

// takeOver checks the server and makes the connection ours.
func (u *Upstream) takeOver(ctx context.Context, pg *pgconn.PgConn, p *peer, l Login) (*Conn, error) {
	state, err := observe(ctx, pg, u.cfg.Target, l)
	if err != nil {
		return nil, err
	}
	if p.cert != nil && !l.physical() {
		if err := prove(ctx, pg); err != nil {
			return nil, err
		}
	}
	if err := pg.SyncConn(ctx); err != nil { // W17: right before Hijack
		return nil, err
	}
	hc, err := pg.Hijack()
	if err != nil {
		return nil, protocolError(err)
	}
	if hc.TxStatus != 'I' || len(hc.SecretKey) > maxSecret {
		return nil, protocolError(fmt.Errorf("transaction status %q, %d bytes of cancel key after login", hc.TxStatus, len(hc.SecretKey)))
	}
	return newConn(hc, p, state, time.Now())
}
