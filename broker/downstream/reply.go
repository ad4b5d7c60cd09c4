package downstream

import (
	"net"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Welcome tells a client that it is logged in, in one write: NegotiateProtocolVersion where it is
// due, AuthenticationOk, the settings, the cancel key unless nil, the notices, ReadyForQuery (W15).
func Welcome(c *Client, params []pgwire.Param, key *pgwire.CancelKey, notices []*pgwire.Error) error {
	b := make([]byte, 0, 1<<10)
	if s := c.Startup; s.NeedsNegotiation() {
		b = pgwire.AppendNegotiateProtocolVersion(b, s.Version, s.Unknown)
	}
	b = pgwire.AppendAuthenticationOk(b)
	for _, p := range params {
		b = pgwire.AppendParameterStatus(b, p.Name, p.Value)
	}
	if key != nil {
		b = pgwire.AppendBackendKeyData(b, *key)
	}
	for _, n := range notices {
		b = pgwire.AppendNotice(b, n)
	}
	_, err := c.Conn.Write(pgwire.AppendReadyForQuery(b, pgwire.TxIdle))
	return err
}

// Refuse sends e and closes conn so that e arrives (W87), which takes at most timeout. It returns
// the error of the write.
func Refuse(conn net.Conn, e *pgwire.Error, timeout time.Duration) error {
	c, ok := conn.(*Conn)
	if !ok {
		c = newConn(conn, 0)
	}
	_ = c.SetDeadline(time.Now().Add(timeout))
	if _, err := c.Write(pgwire.AppendError(nil, e)); err != nil {
		_ = c.wire.Close()
		return err
	}
	_ = c.Finish(timeout)
	return nil
}
