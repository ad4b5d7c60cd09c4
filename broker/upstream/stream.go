package upstream

import (
	"crypto/tls"
	"errors"

	"github.com/pgsignet/pgsignet/broker/sock"
)

// Stream is the TLS connection of a login, which can be read without waiting, too. A record of PostgreSQL's
// holds 8 KiB, and Read returns at most one: a result that was relayed read by read would cost its client a
// write and a wake-up for each.
//
// It is for one reader; all else is as safe for concurrent use as a tls.Conn.
type Stream struct {
	*tls.Conn
	socket *socket

	// Owned by the reader.
	late error // what has ended More
}

// Read implements net.Conn.
func (s *Stream) Read(p []byte) (int, error) {
	if s.late != nil {
		return 0, s.late
	}
	return s.Conn.Read(p)
}

// More reads what has arrived until p is full, and does not wait for more. What goes wrong is the next Read's
// to tell.
func (s *Stream) More(p []byte) (n int) {
	s.socket.hasty = true
	defer func() { s.socket.hasty = false }()
	for n < len(p) && s.late == nil {
		m, err := s.Conn.Read(p[n:])
		n += m
		if errors.Is(err, sock.ErrNothing) {
			break
		}
		s.late = err
	}
	return n
}
