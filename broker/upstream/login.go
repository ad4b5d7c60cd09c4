package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// maxSecret is the longest cancel secret in bytes, protocol 3.2's (W8).
const maxSecret = 256

// attempt logs in to one address and checks the server; ctx bounds it in time. A panic over what a
// server sent ends this attempt alone.
func (u *Upstream) attempt(ctx context.Context, c candidate, l Login, s secrets) (_ *Conn, err error) {
	p := u.peer(c.host, s.cert)
	line := &line{peer: p, addr: c.addr}
	defer func() {
		if r := recover(); r != nil {
			err = protocolError(fmt.Errorf("panic during login: %v", r))
		}
		if err != nil {
			line.hangUp()
		}
	}()
	cfg, err := u.loginConfig(c, l, s, line)
	if err != nil {
		return nil, err
	}
	pg, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, line.explain(err)
	}
	conn, err := u.takeOver(ctx, pg, p, l)
	if err != nil {
		return nil, err
	}
	conn.peerNow = func() *peer { return u.peerNow(c.host, l.Role, s.cert) }
	return conn, nil
}

// peer is how a host is spoken to, with the CAs in force.
func (u *Upstream) peer(h host, cert *tls.Certificate) *peer {
	p := &peer{
		direct:     u.cfg.Negotiation == NegotiateDirect,
		serverName: u.cfg.ServerName,
		roots:      u.cfg.RootCAs(),
		cert:       cert,
	}
	if p.serverName == "" {
		p.serverName = h.name
	}
	if p.roots == nil {
		p.roots = x509.NewCertPool() // trusts nobody; nil would be the system's CAs (T69)
	}
	return p
}

// peerNow is peer for a cancel of a session whose login showed cert: that may have ended or been
// replaced since, and a server rejects an old one even from a cancel. Without any certificate it
// takes the cancel.
func (u *Upstream) peerNow(h host, role string, cert *tls.Certificate) *peer {
	if now, err := u.cfg.Credential.TLSCertificate(role); err == nil {
		cert = now
	} else if cert != nil && time.Now().After(cert.Leaf.NotAfter) {
		cert = nil
	}
	return u.peer(h, cert)
}

// loginConfig is the pgconn configuration of one attempt. TLS is asked for by us, so pgconn is told
// "direct"; it then holds the server to our certificate, or to SCRAM with channel binding (T71, T76).
func (u *Upstream) loginConfig(c candidate, l Login, s secrets, line *line) (*pgconn.Config, error) {
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
	cfg.TLSConfig = line.peer.tlsConfig(&line.seen)
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	cfg.DialFunc = line.dial
	cfg.AfterNetConnect = func(ctx context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		return conn, line.peer.handshake(ctx, conn, &line.seen) // pgconn closes conn on an error: never nil
	}
	return cfg, nil
}

// line is the one connection of an attempt.
type line struct {
	peer *peer
	addr string
	seen shown

	used atomic.Bool // dial was called
	conn net.Conn    // set by the first dial, before pgconn goes on
}

// dial connects, once. When a login breaks off, pgconn dials again in a goroutine of its own to
// cancel what may be running: nothing is, and that connection would be nobody's.
func (n *line) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if n.used.Swap(true) {
		return nil, errors.New("a login has one connection")
	}
	conn, err := n.peer.dial(ctx, n.addr)
	if err != nil {
		return nil, err
	}
	n.conn = conn
	return conn, nil
}

// hangUp closes the connection; pgconn's goroutine, if any, ends with it.
func (n *line) hangUp() {
	if n.conn != nil {
		n.conn.Close()
	}
}

// explain adds what a reset right after the handshake may mean: the alert by which a server rejects
// our certificate can be lost when it closes with our first message unread.
func (n *line) explain(err error) error {
	lost := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if lost && n.seen.done && n.peer.cert != nil {
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

// ended is the error of a step of the login. Of a connection that the step before has lost pgconn says no more than that
// it is closed: the server cannot be reached then.
func ended(pg *pgconn.PgConn, err error) error {
	if _, judged := errors.AsType[*LoginError](err); !judged && pg.IsClosed() && pgconn.SafeToRetry(err) {
		return unreachable(err)
	}
	return err
}

// takeOver checks the server and makes the connection ours.
func (u *Upstream) takeOver(ctx context.Context, pg *pgconn.PgConn, p *peer, l Login) (*Conn, error) {
	state, err := observe(ctx, pg, u.cfg.Target, l)
	if err != nil {
		return nil, ended(pg, err)
	}
	if p.cert != nil && !l.physical() {
		if err := prove(ctx, pg); err != nil {
			return nil, ended(pg, err)
		}
	}
	if err := pg.SyncConn(ctx); err != nil { // W17: right before Hijack
		return nil, ended(pg, err)
	}
	hc, err := pg.Hijack()
	if err != nil {
		return nil, ended(pg, err)
	}
	if hc.TxStatus != 'I' || len(hc.SecretKey) > maxSecret {
		return nil, protocolError(fmt.Errorf("transaction status %q, %d bytes of cancel key after login", hc.TxStatus, len(hc.SecretKey)))
	}
	return newConn(hc, p, state, time.Now())
}
