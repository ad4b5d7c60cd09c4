package relay

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// clientBuffer is what is read from a client at a time. A parked client has none.
const clientBuffer = 16 << 10

var clientBuffers = sync.Pool{New: func() any { return new([clientBuffer]byte) }}

// reader takes a client's bytes apart into messages. While it waits between messages it holds no
// buffer but the bytes of one header.
type reader struct {
	conn   net.Conn
	park   [headerSize]byte
	buf    *[clientBuffer]byte
	have   int // bytes in buf that are not yet taken apart: an incomplete header
	remain int // bytes of the current message still to come
	total  atomic.Int64
}

// inside says whether a message has begun to arrive and has not ended.
func (r *reader) inside() bool { return r.remain > 0 || r.have > 0 }

// next waits for bytes and returns what has arrived, what was kept first. The bytes are valid until
// the next call.
func (r *reader) next() ([]byte, error) {
	if r.buf == nil {
		if done, err := r.unpark(); done || err != nil {
			return r.held(), err
		}
	}
	n, err := r.conn.Read(r.buf[r.have:])
	r.total.Add(int64(n))
	r.have += n
	return r.held(), err
}

// unpark waits for a header without a buffer, then takes one. done is set when the message is the
// header alone: reading on could wait for what the client does not owe.
func (r *reader) unpark() (done bool, err error) {
	n, err := r.conn.Read(r.park[:])
	if n == 0 {
		return true, err
	}
	r.total.Add(int64(n))
	r.buf = clientBuffers.Get().(*[clientBuffer]byte)
	r.have = copy(r.buf[:], r.park[:n])
	_, length := pgwire.Header(r.buf[:])
	return n == headerSize && length == 4, err
}

// held returns the bytes that have arrived and are not taken apart.
func (r *reader) held() []byte {
	if r.buf == nil {
		return nil
	}
	return r.buf[:r.have]
}

// keep holds back the last n bytes of what next returned: an incomplete header. With none, and
// between messages, the buffer goes back to where it came from.
func (r *reader) keep(n int) {
	r.have = copy(r.buf[:], r.buf[r.have-n:r.have])
	if r.have == 0 && r.remain == 0 {
		r.release()
	}
}

func (r *reader) release() {
	if r.buf != nil {
		clientBuffers.Put(r.buf)
		r.buf = nil
	}
}

// serve is the client's half of the relay: it reads requests, accounts for them and writes them to
// the server. It returns how the client's side ended.
func (s *Session) serve() End {
	defer s.in.release()
	for {
		b, err := s.in.next()
		if len(b) > 0 {
			terminate, fault := s.request(b)
			if fault != nil {
				return s.faulty(fault)
			}
			if terminate {
				return s.terminated()
			}
		}
		if err != nil {
			return s.readFailed()
		}
		if e := s.end.Load(); e != nil {
			return *e
		}
	}
}

// request takes one read's worth of messages to the server in one write. terminate is set when the
// client said goodbye.
func (s *Session) request(b []byte) (terminate bool, err error) {
	server := s.held()
	if server == nil {
		return false, ErrServerLost
	}
	now := time.Now().UnixNano()
	s.clocks.lastActive.Store(now)
	forward, held, terminate, err := s.account(server, b, now)
	if len(forward) > 0 {
		if _, werr := server.Conn.Write(forward); werr != nil && err == nil {
			err = ErrServerLost
		}
	}
	s.in.keep(held)
	return terminate, err
}

// account records the messages in b with the server's ledger before their bytes are sent. It
// returns what to forward and how many bytes at the end are an incomplete header.
func (s *Session) account(server *Server, b []byte, now int64) (forward []byte, held int, terminate bool, err error) {
	server.mu.Lock()
	defer server.mu.Unlock()
	defer func() { s.clocks.asked(&server.ledger, now) }()
	all := b
	for len(b) > 0 {
		if s.in.remain > 0 {
			n := min(s.in.remain, len(b))
			s.in.remain -= n
			b = b[n:]
			continue
		}
		// Describe is accounted by the first byte of its body.
		if len(b) < headerSize || (b[0] == pgwire.MsgDescribe && len(b) < headerSize+1) {
			return all[:len(all)-len(b)], len(b), false, nil
		}
		typ, length, err := pgwire.ClientHeader(b)
		if err != nil {
			return all[:len(all)-len(b)], 0, false, err
		}
		if typ == pgwire.MsgTerminate {
			return all[:len(all)-len(b)], 0, true, nil
		}
		var sub byte
		if len(b) > headerSize {
			sub = b[headerSize]
		}
		server.ledger.sent(typ, sub, fromClient, nil)
		s.count(typ)
		s.in.remain = length + 1
	}
	return all, 0, false, nil
}

// count counts statements: simple queries, function calls and executions.
func (s *Session) count(typ byte) {
	switch typ {
	case pgwire.MsgQuery, pgwire.MsgFunctionCall, pgwire.MsgExecute:
		s.statements.Add(1)
	}
}

// held is the server connection that the session holds, if any.
func (s *Session) held() *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// terminated serves a client that has said goodbye: what it sent before is still answered (W82).
func (s *Session) terminated() End {
	if server := s.held(); server != nil {
		s.awaitQuiet(server)
	}
	if e := s.end.Load(); e != nil {
		return *e
	}
	return End{Reason: ClientTerminated}
}

// readFailed classifies the end of the client's stream.
func (s *Session) readFailed() End {
	if e := s.end.Load(); e != nil {
		return *e
	}
	return End{Reason: ClientClosed}
}

// faulty classifies a request that could not be relayed.
func (s *Session) faulty(err error) End {
	if e := s.end.Load(); e != nil {
		return *e
	}
	if errors.Is(err, ErrServerLost) {
		return End{Reason: UpstreamClosed, Tell: &pgwire.Error{
			Severity: pgwire.Fatal, Code: pgwire.ConnectionFailure,
			Message: "server connection lost", Slug: string(UpstreamClosed),
		}}
	}
	e := End{Reason: ProtocolError}
	if tell, ok := errors.AsType[*pgwire.Error](err); ok {
		e.Tell = tell
	}
	return e
}
