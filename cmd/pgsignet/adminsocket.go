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
)

// adminSocket is the console's unix socket at work.
type adminSocket struct {
	stop context.CancelFunc
	done chan struct{}
}

// serveAdminSocket answers the console on admin.socket. A nil result without an error means that
// there is none.
func serveAdminSocket(cfg *config.Config, server *broker.Server, log *zap.Logger) (*adminSocket, error) {
	if cfg.Admin.Socket == "" {
		return nil, nil
	}
	l, err := listenSocket(cfg.Admin.Socket)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &adminSocket{stop: stop, done: make(chan struct{})}
	log.Info("admin socket listening", zap.String("path", cfg.Admin.Socket))
	go func() { // ends with close
		defer close(s.done)
		if err := server.ServeConsole(ctx, l); err != nil {
			log.Error("admin socket ended", zap.Error(err))
		}
	}()
	return s, nil
}

// close ends the socket and its sessions.
func (s *adminSocket) close() {
	if s == nil {
		return
	}
	s.stop()
	<-s.done
}

// maxSocketPath is the longest path of a unix socket, in bytes (sun_path, less its terminator).
const maxSocketPath = 107

// listenSocket makes a socket that only its owner and root can reach, in a directory of mode 0700
// that is made when it is missing. A socket that nobody answers on is replaced.
func listenSocket(path string) (*net.UnixListener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%s has %d bytes, a socket's path at most %d", path, len(path), maxSocketPath)
	}
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Getuid() {
		return nil, fmt.Errorf("directory %s belongs to uid %d, not to us or root", dir, stat.Uid)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("directory %s has mode %04o: it must be 0700 (chmod 0700 %s)", dir, mode, dir)
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
