package fakepg

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"

	"github.com/pgsignet/pgsignet/pgwire"
)

// maxBody bounds a message that a script reads, in bytes.
const maxBody = 256 << 20

// Conn is one connection in the hands of a script. Its methods report what goes wrong as a failure
// of the test and end the script; a connection that the client closes ends it without a failure,
// except in Expect. It is for one goroutine.
type Conn struct {
	Startup *pgwire.Startup
	TLS     *tls.Conn // nil without TLS

	server *Server
	raw    *net.TCPConn
	conn   net.Conn
}

// Message is one message of the client.
type Message struct {
	Type byte
	Body []byte
}

// String is the body's first string: the SQL of a Query, the name in a Bind.
func (m Message) String() string {
	text, _, _ := strings.Cut(string(m.Body), "\x00")
	return text
}

// over ends a script from within.
type over struct{}

func (c *Conn) recover() {
	if r := recover(); r != nil && r != (over{}) {
		panic(r)
	}
}

// fail reports a failure and ends the script.
func (c *Conn) fail(format string, args ...any) {
	c.server.mu.Lock()
	closed := c.server.closed
	c.server.mu.Unlock()
	if !closed {
		c.server.tb.Errorf("fakepg: "+format, args...)
	}
	panic(over{})
}

// Read returns the client's next message; ok is false when it has closed.
func (c *Conn) Read() (m Message, ok bool) {
	var header [pgwire.HeaderSize]byte
	if _, err := io.ReadFull(c.conn, header[:]); err != nil {
		return Message{}, false
	}
	size := int(binary.BigEndian.Uint32(header[1:])) - 4
	if size < 0 || size > maxBody {
		c.fail("client message %q with length word %d", header[0], size+4)
	}
	m = Message{Type: header[0], Body: make([]byte, size)}
	if _, err := io.ReadFull(c.conn, m.Body); err != nil {
		return Message{}, false
	}
	return m, true
}

// Expect reads messages of these types, in this order, "P B E S", and returns them.
func (c *Conn) Expect(types string) []Message {
	var list []Message
	for _, want := range strings.Fields(types) {
		m, ok := c.Read()
		if !ok {
			c.fail("client closed, want %s of %q", want, types)
		}
		if string(m.Type) != want {
			c.fail("client sent %c (%s), want %s of %q", m.Type, m, want, types)
		}
		list = append(list, m)
	}
	return list
}

// ExpectQuery reads a Query with this text.
func (c *Conn) ExpectQuery(sql string) {
	if m := c.Expect("Q")[0]; m.String() != sql {
		c.fail("client sent query %q, want %q", m, sql)
	}
}

// Write sends bytes as they are.
func (c *Conn) Write(b []byte) {
	if _, err := c.conn.Write(b); err != nil {
		panic(over{})
	}
}

// Reply sends the messages that Messages makes of the notation.
func (c *Conn) Reply(notation string) {
	b, err := Messages(notation)
	if err != nil {
		c.fail("%v", err)
	}
	c.Write(b)
}

// AwaitClose reads and drops until the client closes.
func (c *Conn) AwaitClose() { _, _ = io.Copy(io.Discard, c.conn) }

// HalfClose ends our side of TLS and of TCP; the client can still send.
func (c *Conn) HalfClose() {
	if c.TLS != nil {
		_ = c.TLS.CloseWrite()
	}
	_ = c.raw.CloseWrite()
}

// Reset drops the connection with a TCP RST, as a server that died does.
func (c *Conn) Reset() {
	_ = c.raw.SetLinger(0)
	c.raw.Close()
}
