package relay

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/pgsignet/pgsignet/pgwire"
)

var errClosedWriter = errors.New("client writer closed")

// writer is the way to one client. The reader of the linked server and the session write to it;
// it keeps track of message boundaries, so that a last word never lands inside a message.
type writer struct {
	conn net.Conn

	mu      sync.Mutex
	partial int    // bytes of a forwarded message that are still to come
	last    []byte // to be written at the next boundary; then the writer is closed
	closed  bool
	fatal   *pgwire.Error // the server's FATAL that is forwarded: the client reads nothing behind it
	err     error
	scratch []byte

	sent atomic.Int64 // bytes
}

// forward writes server messages. partial is the number of bytes by which the last of them is
// incomplete, fatal the FATAL that is the last of them, if one is: no other word follows then. A failure
// ends the session.
func (w *writer) forward(list [][]byte, partial int, fatal *pgwire.Error, session *Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if w.last != nil {
		w.finishPartial(list)
		return
	}
	w.partial = partial
	if err := w.write(list); err != nil {
		w.closed, w.err = true, err
		session.clientLost(err)
		return
	}
	if w.fatal = fatal; fatal != nil && partial == 0 {
		w.closed = true
	}
}

// send writes whole messages of the broker's own.
func (w *writer) send(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosedWriter
	}
	if err := w.write([][]byte{b}); err != nil {
		w.closed, w.err = true, err
		return err
	}
	return nil
}

// finish makes b the last thing the client reads, now or at the end of the message that is being
// forwarded, and closes the writer. It says whether b was written at once. b may be empty.
func (w *writer) finish(b []byte) (now bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return true
	}
	if w.partial > 0 {
		w.last = append([]byte{}, b...)
		return false
	}
	w.closed = true
	if len(b) > 0 {
		w.err = w.write([][]byte{b})
	}
	return true
}

// finishPartial writes the rest of the current message, then the last words.
func (w *writer) finishPartial(list [][]byte) {
	for _, b := range list {
		n := min(len(b), w.partial)
		w.partial -= n
		if w.err = w.write([][]byte{b[:n]}); w.err != nil || w.partial == 0 {
			break
		}
	}
	if w.err == nil && w.partial > 0 {
		return
	}
	if w.err == nil && w.fatal == nil {
		w.err = w.write([][]byte{w.last})
	}
	w.closed = true
}

// write writes the list at once. Called with mu.
func (w *writer) write(list [][]byte) error {
	n, err := w.conn.Write(w.join(list))
	w.sent.Add(int64(n))
	if cap(w.scratch) > idleBuffer {
		w.scratch = nil // of a burst: a client that idles does not keep it
	}
	return err
}

// join makes one range of the list: the only one, or a copy.
func (w *writer) join(list [][]byte) []byte {
	if len(list) == 1 {
		return list[0]
	}
	w.scratch = w.scratch[:0]
	for _, b := range list {
		w.scratch = append(w.scratch, b...)
	}
	return w.scratch
}

// done says whether nothing more will be written.
func (w *writer) done() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// ending is the server's FATAL that the client has been sent, if it was.
func (w *writer) ending() *pgwire.Error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fatal
}
