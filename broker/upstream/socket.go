package upstream

import (
	"context"
	"errors"
	"math"
	"net"
	"sync/atomic"
	"time"

	"github.com/pgsignet/pgsignet/broker/sock"
)

// maxLogin bounds what a server may send before it is ready, in bytes of TLS. PostgreSQL sends about
// 6 KiB; a certificate chain may take 64 KiB (A112).
const maxLogin = 1 << 20

// userTimeout is how long sent bytes may stay unacknowledged (W86).
const userTimeout = 30 * time.Second

// errTooMuch ends a login that goes on for ever.
var errTooMuch = errors.New("the server sent more than 1 MiB during login")

// socket is a TCP connection that counts what it reads until the login is done.
type socket struct {
	*sock.Conn
	left atomic.Int64 // bytes that may still be read

	hasty bool // Stream.More reads: do not wait. Owned by the reader
}

// dialTCP connects to ip:port.
func dialTCP(ctx context.Context, addr string) (*socket, error) {
	dialer := net.Dialer{KeepAlive: -1} // SetOptions sets it
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	s := &socket{Conn: sock.New(tcp)}
	s.left.Store(maxLogin)
	sock.SetOptions(tcp, userTimeout)
	return s, nil
}

// Read reads from the socket, within the limit.
func (s *socket) Read(b []byte) (int, error) {
	left := s.left.Load()
	if left == math.MaxInt64 {
		return s.read(b)
	}
	if left <= 0 {
		return 0, errTooMuch
	}
	n, err := s.Conn.Read(b[:min(int64(len(b)), left)])
	s.left.Add(-int64(n))
	return n, err
}

// read reads without limit.
func (s *socket) read(b []byte) (int, error) {
	if !s.hasty {
		return s.Conn.Read(b)
	}
	n, err := s.Conn.ReadNow(b)
	if n == 0 && err == nil {
		return 0, sock.ErrNothing
	}
	return n, err
}

// trust lifts the limit: what comes now is the relay's.
func (s *socket) trust() { s.left.Store(math.MaxInt64) }
