package fakepg

import (
	"io"
	"net"
	"time"
)

// Script is the socket of a peer that says what it is told to, in pieces, and then leaves. It keeps what
// is written to it, and never blocks. For one goroutine.
type Script struct {
	net.Conn        // nil: what is not written here is not called
	Says     []byte // what is still to be read from it
	Cuts     []byte // sizes of the pieces less one, over and over; none: as much as is asked for
	Heard    []byte // what was written to it

	at int // pieces so far
}

// Read gives the next piece; its error is io.EOF.
func (s *Script) Read(p []byte) (int, error) {
	if len(s.Says) == 0 {
		return 0, io.EOF
	}
	n := len(p)
	if len(s.Cuts) > 0 {
		n = min(n, 1+int(s.Cuts[s.at%len(s.Cuts)]))
		s.at++
	}
	n = copy(p[:n], s.Says)
	s.Says = s.Says[n:]
	return n, nil
}

// Write keeps b.
func (s *Script) Write(b []byte) (int, error) {
	s.Heard = append(s.Heard, b...)
	return len(b), nil
}

// Close does nothing.
func (*Script) Close() error { return nil }

// RemoteAddr is one of the loopback's.
func (*Script) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// SetDeadline does nothing: nobody waits.
func (*Script) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing: nobody waits.
func (*Script) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: nobody waits.
func (*Script) SetWriteDeadline(time.Time) error { return nil }
