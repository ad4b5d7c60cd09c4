// Package sock reads and writes TCP sockets without telling Go's scheduler of each system call.
//
// A Go program says before a system call that it may block, so that the runtime may give the
// processor to another thread, and a watching thread wakes every 20 µs as long as such calls are
// taken away from it. The sockets of package net never block: they are non-blocking, and waiting is
// the poller's. For a proxy, whose work is little but these calls, the precaution is what costs most
// of its own processor time. Waiting and deadlines are still those of package net.
//
// It knows nothing of what is sent.
package sock

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// Conn is a TCP connection. Like a net.Conn it is safe for concurrent use, and its errors are
// *net.OpError, but for io.EOF.
type Conn struct {
	*net.TCPConn
	raw syscall.RawConn

	reading, writing, peeking sync.Mutex // each held by its call

	in, out transfer
	peek    peek
	arrival arrival
}

// ErrNothing is what a layer above says when nothing has arrived and it may not wait. It is temporary, like the error of a
// deadline, which crypto/tls does not keep.
var ErrNothing net.Error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing has arrived" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// transfer is a Read or Write under way.
type transfer struct {
	p    []byte
	n    int
	err  error
	step func(fd uintptr) bool // made once: a closure for each call would be garbage

	try   func(fd uintptr) // step, without a wait
	waits bool             // try has found nothing
}

func (t *transfer) begin(p []byte) { t.p, t.n, t.err, t.waits = p, 0, nil, false }

// New takes over a connection; nobody else uses c from then on.
func New(c *net.TCPConn) *Conn {
	raw, err := c.SyscallConn()
	if err != nil { // there is no socket: nothing was dialled or accepted
		raw = none{err}
	}
	s := &Conn{TCPConn: c, raw: raw}
	s.in.try = func(fd uintptr) { s.in.waits = !s.in.read(fd) }
	s.in.step, s.out.step, s.peek.step, s.arrival.step = s.in.read, s.out.write, s.peek.look, s.arrival.look
	return s
}

// none is the raw connection of no socket.
type none struct{ err error }

func (n none) Control(func(uintptr)) error    { return n.err }
func (n none) Read(func(uintptr) bool) error  { return n.err }
func (n none) Write(func(uintptr) bool) error { return n.err }

// Read reads what has arrived, and waits only when nothing has.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	c.in.begin(p)
	return c.read(c.raw.Read(c.in.step))
}

// ReadNow reads what has arrived and does not wait: with nothing it returns 0 and no error.
func (c *Conn) ReadNow(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	c.in.begin(p)
	return c.read(c.raw.Control(c.in.try))
}

// read is what came of a read, with the error of the raw call. Called with reading.
func (c *Conn) read(err error) (int, error) {
	c.in.p = nil
	switch {
	case err != nil:
		return 0, renamed(err, "read")
	case c.in.err != nil:
		return 0, c.failed("read", c.in.err)
	case c.in.n == 0 && !c.in.waits:
		return 0, io.EOF
	}
	return c.in.n, nil
}

// Write writes p whole or returns an error.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out.begin(p)
	err := c.raw.Write(c.out.step)
	c.out.p = nil
	switch {
	case err != nil:
		return c.out.n, renamed(err, "write")
	case c.out.err != nil:
		return c.out.n, c.failed("write", c.out.err)
	}
	return c.out.n, nil
}

func (c *Conn) failed(op string, cause error) error {
	return &net.OpError{
		Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, cause),
	}
}

// renamed is an error of package net's raw calls under the name of the plain one.
func renamed(err error, op string) error {
	if e, ok := err.(*net.OpError); ok {
		e.Op = op
	}
	return err
}

// maxTransfer bounds one system call, so that the time in it stays short, in bytes.
const maxTransfer = 256 << 10

// read returns false to wait for readability.
func (t *transfer) read(fd uintptr) bool {
	for {
		n, errno := readNow(fd, t.p[:min(len(t.p), maxTransfer)])
		switch errno {
		case 0:
			t.n = n
			return true
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			t.err = errno
			return true
		}
	}
}

// write returns false to wait for writability.
func (t *transfer) write(fd uintptr) bool {
	for t.n < len(t.p) {
		n, errno := writeNow(fd, t.p[t.n:min(len(t.p), t.n+maxTransfer)])
		switch errno {
		case 0:
			t.n += n
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			t.err = errno
			return true
		}
	}
	return true
}

// peek is a look at what has arrived.
type peek struct {
	one   [1]byte
	quiet bool
	step  func(fd uintptr)
}

func (p *peek) look(fd uintptr) { p.quiet = peekNow(fd, p.one[:]) == syscall.EAGAIN }

// Pending says whether bytes have arrived that were not read, or the connection has ended. It does
// not block: while somebody is at Read, what arrives is that reader's to find.
func (c *Conn) Pending() bool {
	c.peeking.Lock()
	defer c.peeking.Unlock()
	if err := c.raw.Control(c.peek.step); err != nil {
		return true
	}
	return !c.peek.quiet
}

// arrival is a wait for what arrives.
type arrival struct {
	one    [1]byte
	waited bool
	step   func(fd uintptr) bool
}

// look returns false to wait, once: after that something has arrived.
func (a *arrival) look(fd uintptr) bool {
	if a.waited || peekNow(fd, a.one[:]) != syscall.EAGAIN {
		return true
	}
	a.waited = true
	return false
}

// Wait waits until something has arrived, or the connection has ended, as the next Read will tell. Its
// errors are those of Read.
func (c *Conn) Wait() error {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.arrival.waited = false
	if err := c.raw.Read(c.arrival.step); err != nil {
		return renamed(err, "read")
	}
	return nil
}
