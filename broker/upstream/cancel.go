package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"

	"github.com/pgsignet/pgsignet/pgwire"
)

// ErrNoKey is returned by Cancel when the server gave no cancel key at login (W9).
var ErrNoKey = errors.New("the server gave no cancel key")

// Cancel asks the server to stop what this connection runs. It goes to the address of the
// connection itself under the same TLS settings (W77), and returns when the server has closed the
// cancel connection: from then on the request can hit nothing that starts later (W74). It may be
// called while others use Net. On error the request may still arrive: do not reuse the connection.
func (c *Conn) Cancel(ctx context.Context) error {
	if len(c.Secret) == 0 {
		return ErrNoKey
	}
	raw, err := c.peer.dial(ctx, c.Addr)
	if err != nil {
		return err
	}
	defer raw.Close()
	stop := closeOnDone(ctx, raw)
	defer stop()
	conn := tls.Client(raw, c.peer.tlsConfig(new(shown)))
	if err := c.peer.handshake(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.Write(pgwire.AppendCancelRequest(nil, pgwire.CancelKey{PID: c.PID, Secret: c.Secret})); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, conn); ctx.Err() != nil {
		return context.Cause(ctx)
	} else if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return nil
}
