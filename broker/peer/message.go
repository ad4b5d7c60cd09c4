package peer

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// What a Message asks, and how it is answered.
const (
	Take    = "take"    // the listening sockets and the locks
	Serving = "serving" // the asker serves the sockets: let go of them
	Settled = "settled" // the asker knows that they are its own
	Cancel  = "cancel"  // what a session runs
	Lock    = "lock"
	Unlock  = "unlock"
	Kill    = "kill" // the sessions of a certificate
	Reload  = "reload"

	OK       = "ok"
	Unknown  = "unknown"  // no session has that key, no lock that target
	Sibling  = "sibling"  // the answer to Take of another node that serves beside the asker: its locks, no sockets
	Starting = "starting" // the answer to Take of a process of the same node that starts and serves before the asker: ask again
	Released = "released" // the answer to Take of a process that has handed over, or is about to end
	Refused  = "refused"  // Error says why
)

// Message is what goes over the socket, in either direction.
type Message struct {
	Do     string
	Node   string `json:",omitempty"` // of the configuration: processes of one broker have one
	Beside bool   `json:",omitempty"` // of the asker: nodes serve side by side (reuse_port)
	From   string `json:",omitempty"` // the asker's socket, beside Take
	Error  string `json:",omitempty"`
	Count  int    `json:",omitempty"` // sessions ended

	Sockets []Name            `json:",omitempty"` // of the descriptors that come along, in order
	Locks   []json.RawMessage `json:",omitempty"`
	Target  json.RawMessage   `json:",omitempty"`
	Request *Request          `json:",omitempty"`
}

// Name is what a listening socket is known by: two are the same when all of it is.
type Name struct {
	Kind    string // listener, admin
	Name    string
	Address string // as configured
}

// Socket is a listening socket that is passed on.
type Socket struct {
	Name
	Conn syscall.Conn
}

// Request is a cancel request that came to another process than its session's.
type Request struct {
	PID        uint32
	Secret     []byte
	Addr       string // of the client
	TLS        string // version; "" in plaintext
	CertSHA256 string
}

// maxMessage bounds a message, in bytes: about fifty thousand locks.
const maxMessage = 16 << 20

// maxSockets is how many descriptors a message carries: SCM_MAX_FD of Linux.
const maxSockets = 253

// Conn is a connection between two processes of one user. It is for one goroutine at a time, but for
// SetDeadline and Close.
type Conn struct {
	conn *net.UnixConn
}

func (c *Conn) SetDeadline(t time.Time) error { return c.conn.SetDeadline(t) }
func (c *Conn) Close() error                  { return c.conn.Close() }

// Send writes a message with the descriptors of sockets, named in it.
func (c *Conn) Send(m *Message, sockets ...Socket) error {
	if len(sockets) > maxSockets {
		return fmt.Errorf("%d sockets, a message carries %d at most", len(sockets), maxSockets)
	}
	var fds []int
	defer func() {
		for _, fd := range fds {
			syscall.Close(fd)
		}
	}()
	for _, s := range sockets {
		fd, err := duplicate(s.Conn)
		if err != nil {
			return fmt.Errorf("socket %s: %w", s.Address, err)
		}
		fds, m.Sockets = append(fds, fd), append(m.Sockets, s.Name)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(body) > maxMessage {
		return fmt.Errorf("message of %d bytes, at most %d are possible", len(body), maxMessage)
	}
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	var rights []byte
	if len(fds) > 0 {
		rights = syscall.UnixRights(fds...)
	}
	n, _, err := c.conn.WriteMsgUnix(frame, rights, nil)
	if err == nil && n < len(frame) {
		_, err = c.conn.Write(frame[n:])
	}
	return err
}

// duplicate is a descriptor of its own for the same socket. Unlike File it leaves the socket's
// blocking mode alone, which all descriptors share.
func duplicate(c syscall.Conn) (dup int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := raw.Control(func(fd uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if dup, err = syscall.Dup(int(fd)); err == nil {
			syscall.CloseOnExec(dup)
		}
	})
	return dup, errors.Join(cerr, err)
}

// Receive reads a message and the descriptors that came with it, which the caller closes. An error
// leaves none open.
func (c *Conn) Receive() (m *Message, files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	var head [4]byte
	oob := make([]byte, syscall.CmsgSpace(4*maxSockets))
	n, used, _, _, err := c.conn.ReadMsgUnix(head[:], oob)
	if err != nil {
		return nil, nil, err
	}
	if n == 0 {
		return nil, nil, io.EOF
	}
	if files, err = descriptors(oob[:used]); err != nil {
		return nil, files, err
	}
	if _, err = io.ReadFull(c.conn, head[n:]); err != nil {
		return nil, files, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxMessage {
		return nil, files, fmt.Errorf("message of %d bytes", size)
	}
	body, err := io.ReadAll(io.LimitReader(c.conn, int64(size)))
	if err != nil {
		return nil, files, err
	}
	m = new(Message)
	if err = json.Unmarshal(body, m); err != nil {
		return nil, files, err
	}
	if len(files) != len(m.Sockets) {
		return nil, files, fmt.Errorf("%d descriptors for %d sockets", len(files), len(m.Sockets))
	}
	return m, files, nil
}

// descriptors are those of the control messages.
func descriptors(oob []byte) (files []*os.File, err error) {
	if len(oob) == 0 {
		return nil, nil
	}
	list, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range list {
		fds, err := syscall.ParseUnixRights(&list[i])
		if err != nil {
			continue // not descriptors
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
