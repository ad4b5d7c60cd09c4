package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// clientBuffer is what is read from a client at a time. A parked client has none.
const clientBuffer = 16 << 10

// inspectLimit is how much of one Query or Parse is looked at: longer ones are forwarded as they
// arrive, and what they might do is assumed (W44).
const inspectLimit = 256 << 10

var clientBuffers = sync.Pool{New: func() any { b := make([]byte, clientBuffer); return &b }}

// reader takes a client's bytes apart into messages. While it waits between messages it holds no
// buffer, where conn can wait without one.
type reader struct {
	conn   net.Conn
	idle   func() error // waits until conn has something to say
	buf    *[]byte
	have   int // bytes in buf that are not yet taken apart: the front of a message
	want   int // bytes of that message that must be there before it is looked at
	remain int // bytes of the current message still to come
	drop   bool
	total  atomic.Int64
}

// readEnd is how a session ends whose client cannot be read from: the connection is gone, or what came
// on it was not TLS as it should be. crypto/tls marks some of the latter as "local error".
func readEnd(err error) Reason {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		if op.Op == "local error" {
			return ProtocolError
		}
		return ClientClosed // the socket's, or the client's alert
	}
	for _, gone := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, io.ErrClosedPipe} {
		if errors.Is(err, gone) {
			return ClientClosed
		}
	}
	return ProtocolError
}

// idler is a connection that can wait for its peer with little memory.
type idler interface {
	// Idle waits until Read has something to say. Its errors are those of Read.
	Idle() error
}

// from makes r read from conn.
func (r *reader) from(conn net.Conn) {
	r.conn, r.idle = conn, func() error { return nil }
	if c, ok := conn.(idler); ok {
		r.idle = c.Idle
	}
}

// inside says whether a message has begun to arrive and has not ended.
func (r *reader) inside() bool { return r.remain > 0 || r.have > 0 }

// skip takes what belongs to the current message off the front of b.
func (r *reader) skip(b []byte) []byte {
	n := min(r.remain, len(b))
	r.remain -= n
	return b[n:]
}

// next waits for bytes and returns what has arrived, what was kept first. The bytes are valid until
// the next call.
func (r *reader) next() ([]byte, error) {
	if r.buf == nil {
		if err := r.idle(); err != nil {
			return nil, err
		}
		r.buf = clientBuffers.Get().(*[]byte)
	}
	for {
		r.grow()
		n, err := r.conn.Read((*r.buf)[r.have:])
		r.total.Add(int64(n))
		r.have += n
		if err != nil || r.have >= r.want {
			return r.held(), err
		}
	}
}

// grow makes room for a message that is wanted whole.
func (r *reader) grow() {
	if r.want <= len(*r.buf) && r.have < len(*r.buf) {
		return
	}
	bigger := make([]byte, max(r.want, 2*len(*r.buf)))
	copy(bigger, (*r.buf)[:r.have])
	r.recycle()
	r.buf = &bigger
}

// held returns the bytes that have arrived and are not taken apart.
func (r *reader) held() []byte {
	if r.buf == nil {
		return nil
	}
	return (*r.buf)[:r.have]
}

// keep holds back the last n bytes of what next returned: the front of a message of which want
// bytes are needed. With none, and between messages, the buffer goes back to where it came from.
func (r *reader) keep(n, want int) {
	r.want = want
	r.have = copy(*r.buf, (*r.buf)[r.have-n:r.have])
	if r.have == 0 && r.remain == 0 {
		r.release()
	}
}

func (r *reader) release() {
	if r.buf != nil {
		r.recycle()
		r.buf = nil
	}
}

func (r *reader) recycle() {
	if len(*r.buf) == clientBuffer {
		clientBuffers.Put(r.buf)
	}
}

// outbox gathers what goes to the server in one write: a stretch of the client's own bytes as long
// as nothing had to be changed, a copy from then on.
type outbox struct {
	direct  []byte
	buf     []byte
	copying bool
}

func (o *outbox) reset() { o.direct, o.buf, o.copying = nil, o.buf[:0], false }

// add appends bytes of the client's read buffer.
func (o *outbox) add(b []byte) {
	switch {
	case len(b) == 0:
	case o.copying:
		o.buf = append(o.buf, b...)
	case o.direct == nil:
		o.direct = b
	case cap(o.direct)-len(o.direct) >= len(b) && &o.direct[:len(o.direct)+1][len(o.direct)] == &b[0]:
		o.direct = o.direct[:len(o.direct)+len(b)]
	default:
		o.room()
		o.buf = append(o.buf, b...)
	}
}

// room returns a buffer to append messages to that are not the client's bytes; give it back with
// put.
func (o *outbox) room() []byte {
	if !o.copying {
		o.copying = true
		o.buf = append(o.buf[:0], o.direct...)
		o.direct = nil
	}
	return o.buf
}

func (o *outbox) put(b []byte) { o.buf = b }

func (o *outbox) bytes() []byte {
	if o.copying {
		return o.buf
	}
	return o.direct
}

// maxKept is the largest outbox that is kept between requests.
const maxKept = 64 << 10

// shrink lets go of a buffer that a large message has left.
func (o *outbox) shrink() {
	if cap(o.buf) > maxKept {
		o.buf = nil
	}
	o.direct = nil
}
