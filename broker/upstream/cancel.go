package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/pgsignet/pgsignet/pgwire"
)

// ErrNoKey is returned by Cancel when the server gave no cancel key at login (W9).
var ErrNoKey = errors.New("the server gave no cancel key")

// Cancel asks the server to stop what this connection runs. It goes to the address of the
// connection itself under the TLS settings of its login (W77), with the certificate and CAs that are
// in force now, and returns nil when the server has closed
// the cancel connection: from then on the request can hit nothing that starts later (W74). It may be
// called while others use Net. After an error the request may still arrive: do not reuse the
// connection. The caller bounds it by ctx.
func (c *Conn) Cancel(ctx context.Context) (err error) {
	if len(c.Secret) == 0 {
		return ErrNoKey
	}
	defer func() {
		if r := recover(); r != nil { // over what the server sent: as in attempt
			err = fmt.Errorf("cancel at %s: panic: %v", c.Addr, r)
		}
	}()
	if err := c.cancel(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("cancel at %s: %w", c.Addr, err)
	}
	return nil
}

func (c *Conn) cancel(ctx context.Context) error {
	peer := c.peerNow()
	raw, err := peer.dial(ctx, c.Addr)
	if err != nil {
		return err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	seen := new(shown)
	conn := tls.Client(raw, peer.tlsConfig(seen))
	if err := peer.handshake(ctx, conn, seen); err != nil {
		return err
	}
	request := pgwire.AppendCancelRequest(nil, pgwire.CancelKey{PID: c.PID, Secret: c.Secret})
	if _, err := conn.Write(request); err != nil {
		return err
	}
	return awaitEnd(conn)
}

// awaitEnd reads until the server has closed, which it does once it has signalled the backend (W73). A reset is not
// its word: something between may have given the connection up while the request goes on. The socket's login
// limit bounds how much is read.
func awaitEnd(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}
