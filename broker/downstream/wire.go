package downstream

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pgsignet/pgsignet/broker/sock"
)

// gatherLimit is how many bytes of TLS records are gathered into one system call, in bytes.
const gatherLimit = 64 << 10

// gatherRoom is the room that the last record needs beyond gatherLimit: header, nonce and tag.
const gatherRoom = recordSize + 256

var gatherBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, gatherLimit+gatherRoom)
	return &b
}}

// wire is the layer between TLS and the socket. It returns the first byte that told TLS from
// plaintext, takes a handshake slot while the handshake computes, gathers the records of one
// Write into one system call (W85), and keeps the write deadline (W84).
type wire struct {
	raw          net.Conn
	writeTimeout time.Duration

	// Owned by the goroutine that admits the client; opening is nil once it is admitted.
	opening *opening

	// Owned by whoever reads.
	asking  bool    // Read is only asked whether TLS needs it
	records records // of TLS, in what was read
	drained bool    // the last Read has brought one record and no part of another: TLS keeps nothing behind it

	mu     sync.Mutex // guards gather, and the order of writes
	gather *[]byte    // not nil while a Conn.Write is under way

	deadlines sync.Mutex // guards what follows; never held over a system call that blocks
	pinned    bool       // a caller set the write deadline: leave it alone
	armed     time.Time  // when the deadline was last moved
}

// opening is the state of wire before a client is admitted.
type opening struct {
	ctx     context.Context // ends with the handshake deadline; lives as long as Admit
	slots   Slots
	from    netip.Addr
	holding time.Time // since when it has a slot; zero: it has none
	// sent says that TLS has sent something, answered that it had when the slot was given.
	sent, answered bool

	first    byte
	hasFirst bool
}

func (w *wire) Read(p []byte) (int, error) {
	if w.asking {
		return 0, sock.ErrNothing
	}
	n, err := w.read(p)
	w.drained = w.records.follow(p[:n]) <= 1 && w.records.complete()
	return n, err
}

func (w *wire) read(p []byte) (int, error) {
	if w.opening != nil {
		return w.opening.read(w.raw, p)
	}
	return w.raw.Read(p)
}

// wait waits until something has arrived, where the socket can say so.
func (w *wire) wait() error {
	if s, ok := w.raw.(*sock.Conn); ok {
		return s.Wait()
	}
	return nil
}

// read gives its slot back while it waits for the peer: what the cap limits is computing, and a
// client that stalls within its handshake must not hold up others (T86, A13, A14).
func (o *opening) read(raw net.Conn, p []byte) (int, error) {
	if o.hasFirst && len(p) > 0 {
		o.hasFirst = false
		p[0] = o.first
		return 1, nil
	}
	if o.slots == nil {
		return raw.Read(p)
	}
	if n, err := readNow(raw, p); n > 0 || err != nil {
		return n, err
	}
	o.release()
	n, err := raw.Read(p)
	if err != nil {
		return n, err
	}
	if err := o.acquire(raw); err != nil {
		return 0, err
	}
	return n, nil
}

// readNow is a Read that does not wait, where the socket has it: with nothing it returns 0 and no error.
func readNow(raw net.Conn, p []byte) (int, error) {
	if s, ok := raw.(*sock.Conn); ok {
		return s.ReadNow(p)
	}
	return 0, nil
}

// acquire waits for a slot.
func (o *opening) acquire(raw net.Conn) error {
	waited, err := o.slots.Acquire(o.ctx, o.from, !o.sent)
	if err != nil {
		return err
	}
	o.answered, o.holding = o.sent, time.Now()
	if waited && hungUp(raw) { // nobody would read the answer
		return io.ErrUnexpectedEOF
	}
	return nil
}

// leave ends what the slots are for.
func (o *opening) leave() {
	o.release()
	o.slots = nil
}

// use is what the slot that it has was used for.
func (o *opening) use() Use {
	switch {
	case o.answered:
		return WentOn
	case o.sent:
		return Began
	}
	return Nothing
}

func (o *opening) release() {
	if !o.holding.IsZero() {
		o.slots.Release(o.use(), time.Since(o.holding))
		o.holding = time.Time{}
	}
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gather == nil {
		return w.send(p)
	}
	*w.gather = append(*w.gather, p...)
	if len(*w.gather) < gatherLimit {
		return len(p), nil
	}
	return len(p), w.flush()
}

// cork makes writes gather until uncork, which sends what is left.
func (w *wire) cork() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gather = gatherBuffers.Get().(*[]byte)
}

func (w *wire) uncork() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.flush()
	if cap(*w.gather) <= gatherLimit+gatherRoom {
		gatherBuffers.Put(w.gather)
	}
	w.gather = nil
	return err
}

// flush empties gather, sent or not: after an error the connection is of no more use.
func (w *wire) flush() error {
	b := *w.gather
	*w.gather = b[:0]
	if len(b) == 0 {
		return nil
	}
	_, err := w.send(b)
	return err
}

func (w *wire) send(p []byte) (int, error) {
	if w.opening != nil {
		w.opening.sent = true
	}
	w.arm()
	return w.raw.Write(p)
}

// arm moves the write deadline, but not for every message: once an eighth of the timeout is
// over. A write therefore waits at least seven eighths of the timeout.
func (w *wire) arm() {
	w.deadlines.Lock()
	defer w.deadlines.Unlock()
	if w.pinned || w.writeTimeout <= 0 {
		return
	}
	now := time.Now()
	if now.Sub(w.armed) < w.writeTimeout/8 {
		return
	}
	w.armed = now
	// An error means that the socket is closed, which the write itself will report.
	_ = w.raw.SetWriteDeadline(now.Add(w.writeTimeout))
}

// SetWriteDeadline overrides the automatic deadline until it is called with the zero time.
func (w *wire) SetWriteDeadline(t time.Time) error {
	w.deadlines.Lock()
	defer w.deadlines.Unlock()
	w.pinned, w.armed = !t.IsZero(), time.Time{}
	return w.raw.SetWriteDeadline(t)
}

// SetDeadline sets both deadlines; see SetWriteDeadline.
func (w *wire) SetDeadline(t time.Time) error {
	if err := w.SetWriteDeadline(t); err != nil {
		return err
	}
	return w.raw.SetReadDeadline(t)
}

func (w *wire) SetReadDeadline(t time.Time) error { return w.raw.SetReadDeadline(t) }
func (w *wire) Close() error                      { return w.raw.Close() }
func (w *wire) LocalAddr() net.Addr               { return w.raw.LocalAddr() }
func (w *wire) RemoteAddr() net.Addr              { return w.raw.RemoteAddr() }

// CloseWrite sends FIN where the socket can.
func (w *wire) CloseWrite() error {
	if half, ok := w.raw.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
