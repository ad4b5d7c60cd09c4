package upstream

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"net"
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
	Net    *tls.Conn
	PID    uint32
	Secret []byte         // cancel secret; nil when the server gave none (W9)
	Params []pgwire.Param // ParameterStatus as of login, sorted by name

	Addr          string // remote address, ip:port
	ServerVersion string // as reported, e.g. "15.20 (Debian 15.20-0+deb12u1)"
	Created       time.Time
	CertSerial    string    // of the client certificate shown, lower-case hex; "" for none
	CertNotAfter  time.Time // of the same; zero for none

	peer *peer
}

func newConn(hc *pgconn.HijackedConn, p *peer, now time.Time) *Conn {
	c := &Conn{
		Net:           hc.Conn.(*tls.Conn),
		PID:           hc.PID,
		Secret:        hc.SecretKey,
		Addr:          hc.Conn.RemoteAddr().String(),
		ServerVersion: hc.ParameterStatuses["server_version"],
		Created:       now,
		peer:          p,
	}
	for name, value := range hc.ParameterStatuses {
		c.Params = append(c.Params, pgwire.Param{Name: name, Value: value})
	}
	slices.SortFunc(c.Params, func(a, b pgwire.Param) int { return cmp.Compare(a.Name, b.Name) })
	if leaf := leafOf(p.cert); leaf != nil {
		c.CertSerial = leaf.SerialNumber.Text(16)
		c.CertNotAfter = leaf.NotAfter
	}
	return c
}

func leafOf(cert *tls.Certificate) *x509.Certificate {
	if cert == nil || cert.Leaf == nil {
		return nil
	}
	return cert.Leaf
}

// RemoteAddr is the server's address.
func (c *Conn) RemoteAddr() net.Addr { return c.Net.RemoteAddr() }

// Close says Terminate and closes. It is safe while another goroutine reads or writes Net, which
// then fails, and takes at most a second.
func (c *Conn) Close() error {
	c.Net.SetWriteDeadline(time.Now().Add(closeTimeout))
	c.Net.Write([]byte{'X', 0, 0, 0, 4})
	return c.Net.Close()
}
