package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker"
	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/broker/peer"
)

// adminSocket is the console's unix socket at work.
type adminSocket struct {
	name peer.Name
	l    *net.UnixListener
	stop context.CancelFunc
	done chan struct{}
}

// openAdminSocket makes admin.socket, or goes on with that of an older process. A nil result without an
// error means that there is none.
func openAdminSocket(cfg *config.Config, taken *peer.Taken) (*adminSocket, error) {
	if cfg.Admin.Socket == "" {
		return nil, nil
	}
	s := &adminSocket{name: peer.Name{Kind: "admin", Name: "socket", Address: cfg.Admin.Socket}, stop: func() {}}
	if l, ok := taken.Socket(s.name).(*net.UnixListener); ok {
		s.l = l // its file stays if we fail: the older process answers there
		return s, nil
	}
	l, err := listenSocket(cfg.Admin.Socket)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	s.l = l
	return s, nil
}

// serve answers the console until close.
func (s *adminSocket) serve(server *broker.Server, log *zap.Logger) {
	if s == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.done = stop, make(chan struct{})
	log.Info("admin socket listening", zap.String("path", s.name.Address))
	go func() { // ends with close
		defer close(s.done)
		if err := server.ServeConsole(ctx, s.l); err != nil {
			log.Error("admin socket ended", zap.Error(err))
		}
	}()
}

// own has the socket's file removed with the socket: no other process answers on it any more.
func (s *adminSocket) own() {
	if s != nil {
		s.l.SetUnlinkOnClose(true)
	}
}

// letGo leaves the socket to a new process. Sessions that it has go on.
func (s *adminSocket) letGo() {
	if s != nil {
		s.l.SetUnlinkOnClose(false)
		s.l.Close()
	}
}

// close ends the socket and its sessions.
func (s *adminSocket) close() {
	if s == nil {
		return
	}
	s.stop()
	s.l.Close()
	if s.done != nil {
		<-s.done
	}
}

// listenSocket makes a socket that only its owner and root can reach, in a directory of mode 0700
// that is made when it is missing. A socket that nobody answers on is replaced; a file that is none is not.
func listenSocket(path string) (*net.UnixListener, error) {
	if len(path) > peer.MaxPath {
		return nil, fmt.Errorf("%s has %d bytes, a socket's path at most %d", path, len(path), peer.MaxPath)
	}
	if err := peer.PrivateDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s exists and is no socket", path)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("another process answers on %s", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}

// askSocket fails unless a broker answers on the socket.
func askSocket(ctx context.Context, path string, out io.Writer) error {
	c, err := dialConsole(ctx, consoleFlags{socket: path})
	if err != nil {
		return err
	}
	defer c.close()
	table, err := c.query(ctx, "SHOW STATE")
	if err != nil {
		return err
	}
	for _, row := range table.Rows {
		fmt.Fprintf(out, "%s %s\n", row[0].Text, row[1].Text)
	}
	return nil
}
