package relay

import (
	"net"
	"sync"
)

// A server connection at rest has a small buffer. What fills it is the front of a large result, of which more
// has arrived: as much of that as fits into a large buffer leaves in one write to the client. The large
// one is had for that write alone.

// idleBuffer is what a server connection reads at a time, in bytes: a record of PostgreSQL's.
const idleBuffer = 8 << 10

// burstBuffer is how much of a large result is relayed at a time, in bytes: what downstream.Conn sends in one system
// call.
const burstBuffer = 64 << 10

var burstBuffers = sync.Pool{New: func() any { b := make([]byte, burstBuffer); return &b }}

// waitless returns what reads from c without waiting, or nil if c cannot.
func waitless(c net.Conn) func([]byte) int {
	if c, ok := c.(interface{ More([]byte) int }); ok {
		return c.More
	}
	return nil
}

// takeAll is take of b, the front of buf, and of what has arrived behind it.
func (s *Server) takeAll(b []byte, more func([]byte) int) error {
	if more == nil || len(b) < len(s.buf) {
		return s.take(b)
	}
	burst := burstBuffers.Get().(*[]byte)
	defer burstBuffers.Put(burst)
	n := copy(*burst, b)
	n += more((*burst)[n:])
	return s.take((*burst)[:n])
}

// keep holds back the last bytes of what was read: an incomplete header, or a message that must be seen whole,
// for whose sake the buffer may grow.
func (s *Server) keep(rest []byte) {
	switch {
	case len(rest) >= len(s.buf):
		s.buf = make([]byte, s.whole)
	case len(rest) == 0 && len(s.buf) > idleBuffer:
		s.buf = make([]byte, idleBuffer)
	}
	s.held = copy(s.buf, rest)
}
