// Package peer is how the processes of one broker on one host speak to each other, on unix sockets in
// a directory of their own: a new process takes the listening sockets and the locks of the old one,
// and each passes on what is meant for a session of the other.
//
// It does not decide who serves, knows neither sessions nor configuration, and never logs.
package peer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// MaxPath is the longest path of a unix socket, in bytes (sun_path, less its terminator).
const MaxPath = 107

// Place is a process's socket in the directory. Its methods are safe for concurrent use.
type Place struct {
	// Fixed by Open.
	dir  string
	name string // of our socket, in dir
	l    *net.UnixListener
}

const suffix = ".sock"

// Open makes the directory if need be and listens in it, under a name of 12 bytes that nobody else
// has. The socket gets that name when it listens already: one that refuses is a dead process's.
func Open(dir string) (*Place, error) {
	if err := PrivateDir(dir); err != nil {
		return nil, err
	}
	id := make([]byte, 4)
	rand.Read(id)
	stem := hex.EncodeToString(id)[:7]
	p := &Place{dir: dir, name: stem + suffix}
	early := filepath.Join(dir, "."+stem+".new")
	if len(early) > MaxPath {
		return nil, fmt.Errorf("a socket in %s has a path of %d bytes, at most %d are possible", dir, len(early), MaxPath)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: early, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	p.l = l
	if err := errors.Join(os.Chmod(early, 0o600), os.Rename(early, p.path(p.name))); err != nil {
		l.Close()
		os.Remove(early)
		return nil, err
	}
	return p, nil
}

// PrivateDir makes a directory of mode 0700, or finds one that only we and root can enter. A symbolic link
// to one must be ours or root's, too: its owner could point it to another of our directories.
func PrivateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	link, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	for _, i := range []os.FileInfo{link, info} {
		if stat, ok := i.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Getuid() {
			return fmt.Errorf("directory %s belongs to uid %d, not to us or root", dir, stat.Uid)
		}
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("directory %s has mode %04o: it must be 0700 (chmod 0700 %s)", dir, mode, dir)
	}
	return nil
}

func (p *Place) path(name string) string { return filepath.Join(p.dir, name) }

// Accept returns the next connection of a process of our own user; those of others are closed. The
// error is net.ErrClosed after Close.
func (p *Place) Accept() (*Conn, error) {
	for {
		conn, err := p.l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if ours(conn) {
			return &Conn{conn: conn}, nil
		}
		conn.Close()
	}
}

// Others are the names of the other processes' sockets, dead ones' too.
func (p *Place) Others() []string {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); e.Type() == fs.ModeSocket && n != p.name && ourName(n) {
			names = append(names, n)
		}
	}
	return names
}

// ourName says whether Open makes such names: the directory may hold other sockets.
func ourName(name string) bool {
	stem, ok := strings.CutSuffix(name, suffix)
	return ok && len(stem) == 7 && strings.Trim(stem, "0123456789abcdef") == ""
}

// ErrDead is a socket whose process has ended; Dial has removed it.
var ErrDead = errors.New("the process has ended")

// dialTimeout is how long a process may take to take a connection: the kernel does that.
const dialTimeout = 2 * time.Second

// Dial connects to another process, which must be our own user's.
func (p *Place) Dial(ctx context.Context, name string) (*Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "unix", p.path(name))
	if errors.Is(err, syscall.ECONNREFUSED) {
		os.Remove(p.path(name))
		return nil, ErrDead
	}
	if err != nil {
		return nil, err
	}
	if !ours(conn.(*net.UnixConn)) {
		conn.Close()
		return nil, fmt.Errorf("%s: another user's process answers", p.path(name))
	}
	return &Conn{conn: conn.(*net.UnixConn)}, nil
}

// Ask sends a message to another process and returns its answer.
func (p *Place) Ask(ctx context.Context, name string, m *Message) (*Message, error) {
	c, err := p.Dial(ctx, name)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		c.SetDeadline(deadline)
	}
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	if err := c.Send(m); err != nil {
		return nil, err
	}
	answer, files, err := c.Receive()
	for _, f := range files {
		f.Close() // none was asked for
	}
	return answer, err
}

// Close ends Accept and removes the socket.
func (p *Place) Close() error {
	return errors.Join(os.Remove(p.path(p.name)), p.l.Close())
}

// ours says whether the other end is a process of our own user, as the kernel knows it.
func ours(conn *net.UnixConn) bool {
	uid, err := UID(conn)
	return err == nil && uid == os.Getuid()
}
