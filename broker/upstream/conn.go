package upstream

import (
	"cmp"
	"crypto/tls"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsignet/pgsignet/pgwire"
)

// closeTimeout bounds the goodbye of Conn.Close.
const closeTimeout = 500 * time.Millisecond

// Conn is a logged-in, idle server connection. Whoever has it reads and writes Net; nothing else
// does, but for Close.
type Conn struct {
	Net    *Stream
	PID    uint32
	Secret []byte         // cancel secret; nil when the server gave none (W9)
	Params []pgwire.Param // ParameterStatus as of login, sorted by name

	Addr          string // remote address, ip:port
	ServerVersion string // as reported, e.g. "15.20 (Debian 15.20-0+deb12u1)"
	Created       time.Time
	CertSerial    string    // of the client certificate shown, lower-case hex; "" for none
	CertNotAfter  time.Time // of the same; zero for none

	state   serverState
	peerNow func() *peer // how to reach the server for a cancel
}

func newConn(hc *pgconn.HijackedConn, p *peer, state serverState, now time.Time) (*Conn, error) {
	tc, ok := hc.Conn.(*tls.Conn)
	if !ok {
		return nil, noTLS(errors.New("connection without TLS after login"))
	}
	s, ok := tc.NetConn().(*socket)
	if !ok {
		return nil, noTLS(errors.New("TLS over somebody else's socket"))
	}
	s.trust()
	c := &Conn{
		Net:           &Stream{Conn: tc, socket: s},
		PID:           hc.PID,
		Secret:        hc.SecretKey,
		Addr:          tc.RemoteAddr().String(),
		ServerVersion: hc.ParameterStatuses["server_version"],
		Created:       now,
		state:         state,
	}
	for name, value := range hc.ParameterStatuses {
		c.Params = append(c.Params, pgwire.Param{Name: name, Value: value})
	}
	slices.SortFunc(c.Params, func(a, b pgwire.Param) int { return cmp.Compare(a.Name, b.Name) })
	if p.cert != nil {
		c.CertSerial = p.cert.Leaf.SerialNumber.Text(16)
		c.CertNotAfter = p.cert.Leaf.NotAfter
	}
	return c, nil
}

// terminate is the Terminate message.
var terminate = [5]byte{'X', 0, 0, 0, 4}

// Close says Terminate and closes. It may be called while another goroutine reads or writes Net,
// which then fails, and takes a second at most.
func (c *Conn) Close() error {
	_ = c.Net.SetWriteDeadline(time.Now().Add(closeTimeout)) // also ends a write that is stuck
	_, _ = c.Net.Write(terminate[:])                         // a server that is gone needs no goodbye
	return c.Net.Close()
}
