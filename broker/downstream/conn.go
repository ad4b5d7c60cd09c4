package downstream

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/pgsignet/pgsignet/broker/sock"
)

// recordSize is how many bytes of messages a TLS record holds at most: libpq's asynchronous
// interface loses track of larger ones (W85).
const recordSize = 8 << 10

// Conn is a client's socket, with TLS or, for a local client, without. It is safe for one reader
// and any number of writers; a Write is never mixed with another.
//
// Write cuts its bytes into records of recordSize and sends them in one system call where they
// fit 64 KiB. It has a deadline of its own, Config.WriteTimeout, that is moved without being
// asked; after it passed the connection is of no more use. A write deadline that a caller sets
// replaces it until the caller sets the zero time.
type Conn struct {
	net.Conn // the *tls.Conn, or wire

	wire *wire
	tls  *tls.Conn // nil in plaintext

	// Owned by whoever reads.
	byte  [1]byte // what Idle has found
	ahead bool    // it is the next that Read returns
	full  bool    // the last Read has filled its buffer: there may be more of the same record

	writing sync.Mutex // held by Write
}

func newConn(raw net.Conn, writeTimeout time.Duration) *Conn {
	w := &wire{raw: raw, writeTimeout: writeTimeout}
	return &Conn{Conn: w, wire: w}
}

// HungUp reports whether the client has closed its side of the socket, though it may have sent more
// before. It does not block.
func (c *Conn) HungUp() bool { return hungUp(c.wire.raw) }

// Write sends p whole or returns an error.
func (c *Conn) Write(p []byte) (int, error) {
	if c.tls == nil {
		return c.wire.Write(p)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if len(p) <= recordSize {
		return c.tls.Write(p)
	}
	return c.writeRecords(p)
}

// Read reads what the client has sent.
func (c *Conn) Read(p []byte) (int, error) {
	if c.ahead && len(p) > 0 {
		return c.readAhead(p)
	}
	n, err := c.Conn.Read(p)
	c.full = n == len(p)
	return n, err
}

// Idle waits until Read has something to say, with little on the stack: the frames of a waiting tls.Conn.Read
// alone would keep the stack of its goroutine at 8 KiB. Its errors are those of Read.
func (c *Conn) Idle() error {
	if c.ahead {
		return nil
	}
	if c.tls != nil && (c.full || !c.wire.drained) {
		n, err := c.inHand(c.byte[:])
		switch {
		case n > 0:
			c.ahead = true
			return nil
		case !errors.Is(err, sock.ErrNothing):
			return err
		}
		c.full, c.wire.drained = false, c.wire.records.complete()
	}
	return c.wire.wait()
}

// inHand is Read of what TLS has read from the socket before; with nothing it fails with sock.ErrNothing.
func (c *Conn) inHand(p []byte) (int, error) {
	c.wire.asking = true
	n, err := c.tls.Read(p)
	c.wire.asking = false
	return n, err
}

// readAhead is Read behind the byte that Idle has found in TLS's hand.
func (c *Conn) readAhead(p []byte) (int, error) {
	p[0], c.ahead = c.byte[0], false
	n, err := c.inHand(p[1:])
	if c.full = 1+n == len(p); errors.Is(err, sock.ErrNothing) { // also when half an alert stands behind the bytes
		err = nil
	}
	return 1 + n, err
}

func (c *Conn) writeRecords(p []byte) (int, error) {
	c.wire.cork()
	sent := 0
	for sent < len(p) {
		n, err := c.tls.Write(p[sent:min(sent+recordSize, len(p))])
		sent += n
		if err != nil {
			_ = c.wire.uncork() // the first error says it all
			return sent, err
		}
	}
	return sent, c.wire.uncork()
}

// CloseWrite ends what the client reads: close_notify, then FIN. Reading goes on.
func (c *Conn) CloseWrite() error {
	if c.tls != nil {
		if err := c.tls.CloseWrite(); err != nil {
			return err
		}
	}
	return c.wire.CloseWrite()
}

// drainLimit bounds what Finish reads of a client that goes on sending, in bytes.
const drainLimit = 1 << 20

// Finish closes the connection so that what was written last arrives: FIN, then read until the
// client closes too. A close with bytes unread would send RST, which may destroy data the client
// has not read yet (W87). It ends after timeout, or after 1 MiB.
func (c *Conn) Finish(timeout time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(timeout))
	if c.CloseWrite() == nil {
		c.drain()
	}
	return c.wire.Close()
}

// drain reads below TLS: nothing that arrives now is looked at.
func (c *Conn) drain() {
	buf := make([]byte, 4<<10)
	for total := 0; total < drainLimit; {
		n, err := c.wire.raw.Read(buf)
		if err != nil {
			return
		}
		total += n
	}
}
