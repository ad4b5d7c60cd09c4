package downstream

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
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

// ReadIdle is Read for a client that may say nothing for long: it waits with little on the stack. The
// frames of a waiting tls.Conn.Read alone would keep the stack of its goroutine at 8 KiB.
func (c *Conn) ReadIdle(p []byte) (int, error) {
	if c.tls != nil {
		c.wire.asking = true
		n, err := c.tls.Read(p)
		c.wire.asking = false
		switch {
		case !errors.Is(err, errNothing):
			return n, err
		case n > 0: // half an alert may stand behind it
			return n, nil
		}
	}
	if err := c.wire.wait(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
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
