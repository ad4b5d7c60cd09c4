// Package fakepg is a PostgreSQL server that does what a script says: the faults that no real
// server shows on demand, and what PostgreSQL 15 was seen to answer, message by message.
//
// It does not run SQL, check certificates or authenticate: a script that wants a login to look
// right calls Conn.Login.
package fakepg

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/pgsignet/pgsignet/pgwire"
)

// TB is what a test gives; *testing.T and *testing.B do.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Options say how connections begin. The zero value answers SSLRequest with 'N'.
type Options struct {
	// TLS is for SSLRequest and for direct TLS. NextProtos, when empty, becomes "postgresql".
	TLS *tls.Config

	// SSLAnswer, when set, is sent for SSLRequest instead of "S" or "N". Unless it is "S", the
	// connection then stays open in silence until the client closes it.
	SSLAnswer []byte

	// Cancel is run for a CancelRequest and may hold the connection open; nil closes it at once.
	// Every key is also kept for Server.Cancels.
	Cancel func(c *Conn, key pgwire.CancelKey)
}

// Server is a fake server on loopback. Its methods are safe for concurrent use.
type Server struct {
	Addr string // host:port

	// Fixed at creation.
	tb       TB
	opts     Options
	script   func(*Conn)
	listener net.Listener
	work     sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	conns    map[net.Conn]struct{}
	accepted int
	cancels  []pgwire.CancelKey
}

// Start runs a server until the test ends. The script gets each connection after its start-up
// packet, in a goroutine of its own; when it returns, the connection is closed.
func Start(tb TB, opts Options, script func(*Conn)) *Server {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("fakepg: %v", err)
	}
	s := &Server{
		Addr: listener.Addr().String(), tb: tb, opts: opts, script: script,
		listener: listener, conns: make(map[net.Conn]struct{}),
	}
	s.work.Go(s.accept)
	tb.Cleanup(s.Close)
	return s
}

// Close ends the server and every connection, and waits for the scripts.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.listener.Close()
	s.work.Wait()
}

// Cancels returns the keys of all CancelRequests so far.
func (s *Server) Cancels() []pgwire.CancelKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]pgwire.CancelKey(nil), s.cancels...)
}

// Accepted returns the number of TCP connections so far.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Open returns the number of connections that are open now.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			conn.Close()
			return
		}
		s.conns[conn] = struct{}{}
		s.accepted++
		s.work.Go(func() { s.serve(conn.(*net.TCPConn)) })
		s.mu.Unlock()
	}
}

// serve opens one connection and runs the script on it.
func (s *Server) serve(raw *net.TCPConn) {
	defer func() {
		raw.Close()
		s.mu.Lock()
		delete(s.conns, raw)
		s.mu.Unlock()
	}()
	c := &Conn{server: s, raw: raw, conn: raw}
	defer c.recover()
	packet, err := c.open()
	if err != nil || packet.Kind == 0 {
		return // a probe, or a client that did not like what it met: the test sees its side
	}
	if packet.Kind == pgwire.CancelRequest {
		s.mu.Lock()
		s.cancels = append(s.cancels, packet.Cancel)
		s.mu.Unlock()
		if s.opts.Cancel != nil {
			s.opts.Cancel(c, packet.Cancel)
		}
		return
	}
	c.Startup = packet.Startup
	s.script(c)
}

// open reads up to the packet that says what the connection is for; Kind 0 when it got none.
func (c *Conn) open() (pgwire.Packet, error) {
	var first [1]byte
	if _, err := c.raw.Read(first[:]); err != nil {
		return pgwire.Packet{}, err
	}
	c.conn = &prefixed{Conn: c.raw, prefix: first[:]}
	if first[0] == 0x16 {
		if err := c.secure(); err != nil {
			return pgwire.Packet{}, err
		}
	}
	for {
		packet, err := pgwire.ReadPacket(c.conn)
		if err != nil || packet.Kind == pgwire.StartupPacket || packet.Kind == pgwire.CancelRequest {
			return packet, err
		}
		if on, err := c.answer(packet.Kind); err != nil || !on {
			return pgwire.Packet{}, err
		}
	}
}

// answer responds to a request for encryption and reports whether the connection goes on.
func (c *Conn) answer(kind pgwire.PacketKind) (goOn bool, err error) {
	reply := c.server.opts.SSLAnswer
	if kind == pgwire.GSSENCRequest || reply == nil && c.server.opts.TLS == nil {
		_, err := c.raw.Write([]byte("N"))
		return true, err
	}
	if reply == nil {
		reply = []byte("S")
	}
	if _, err := c.raw.Write(reply); err != nil {
		return false, err
	}
	if string(reply) != "S" {
		c.AwaitClose()
		return false, nil
	}
	return true, c.secure()
}

// secure goes over to TLS.
func (c *Conn) secure() error {
	if c.server.opts.TLS == nil {
		return errors.New("no TLS")
	}
	config := c.server.opts.TLS.Clone()
	if len(config.NextProtos) == 0 {
		config.NextProtos = []string{"postgresql"}
	}
	tc := tls.Server(c.conn, config)
	if err := tc.Handshake(); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	c.conn, c.TLS = tc, tc
	return nil
}

// prefixed is a connection of which some bytes were already read.
type prefixed struct {
	net.Conn
	prefix []byte
}

// Read returns the prefix first.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.prefix)
	p.prefix = p.prefix[n:]
	return n, nil
}
