package upstream

import (
	"context"
	"net"
)

// Probe asks whether the server at addr, ip:port as in Conn.Addr, still answers: it connects and asks
// for TLS, without a login. An address that does not answer is then left alone like one that a login
// has failed at. The error is a *LoginError.
func (u *Upstream) Probe(ctx context.Context, addr string) error {
	answered, err := guarded(ctx, u, addr, func(ctx context.Context) (net.Conn, error) {
		return (&peer{direct: u.cfg.Negotiation == NegotiateDirect}).dial(ctx, addr)
	}, func(late net.Conn) { late.Close() })
	if err != nil {
		return err
	}
	return answered.Close()
}
