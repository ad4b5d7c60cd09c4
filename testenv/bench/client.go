package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// client is a logged-in client that costs its driver as little as can be: a socket and TLS, no
// goroutine. One goroutine at a time may use it.
type client struct {
	conn *tls.Conn
}

// loginTimeout is how long a login may take, its wait behind thousands of others included.
const loginTimeout = 60 * time.Second

// logIn connects to addr and logs in as user, whose certificate cfg has, to the database bench.
func logIn(addr, user string, cfg *tls.Config) (*client, error) {
	raw, err := net.DialTimeout("tcp", addr, loginTimeout)
	if err != nil {
		return nil, err
	}
	c := &client{conn: tls.Client(raw, cfg)}
	if err := c.greet(raw, user); err != nil {
		raw.Close()
		return nil, fmt.Errorf("log in as %s: %w", user, err)
	}
	return c, nil
}

// greet asks for TLS (SSLRequest of PostgreSQL's protocol), sends a start-up packet and waits until
// the session is ready.
func (c *client) greet(raw net.Conn, user string) error {
	raw.SetDeadline(time.Now().Add(loginTimeout))
	defer raw.SetDeadline(time.Time{})
	if _, err := raw.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(raw, answer[:]); err != nil {
		return err
	}
	if answer[0] != 'S' {
		return fmt.Errorf("no TLS: %q", answer)
	}
	if err := c.conn.Handshake(); err != nil {
		return err
	}
	startup := fmt.Appendf([]byte{0, 0, 0, 0, 0, 3, 0, 0}, "user\x00%s\x00database\x00bench\x00\x00", user)
	binary.BigEndian.PutUint32(startup, uint32(len(startup)))
	if _, err := c.conn.Write(startup); err != nil {
		return err
	}
	return c.ready(bufio.NewReader(c.conn))
}

// query runs one statement; in buffers the answer, and may serve another client next.
func (c *client) query(sql string, in *bufio.Reader) error {
	if _, err := c.conn.Write(pgwire.AppendQuery(nil, sql)); err != nil {
		return err
	}
	in.Reset(c.conn)
	return c.ready(in)
}

// ready reads to ReadyForQuery. An ErrorResponse is an error.
func (c *client) ready(in *bufio.Reader) error {
	for {
		header, err := in.Peek(5)
		if err != nil {
			return err
		}
		kind, size := header[0], int(binary.BigEndian.Uint32(header[1:]))
		in.Discard(5)
		if kind == 'E' {
			text := make([]byte, min(size-4, 1024))
			io.ReadFull(in, text)
			return fmt.Errorf("the server says %q", text)
		}
		if _, err := in.Discard(size - 4); err != nil || kind == 'Z' {
			return err
		}
	}
}

// close says goodbye. Nobody waits for the answer.
func (c *client) close() {
	c.conn.SetDeadline(time.Now().Add(time.Second))
	c.conn.Write(pgwire.AppendEmpty(nil, pgwire.MsgTerminate))
	c.conn.Close()
}
