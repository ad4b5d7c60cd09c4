package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Mode is how a server is stopped.
type Mode int

const (
	Fast      Mode = iota // ends sessions with 57P01, writes a checkpoint
	Immediate             // ends sessions with 57P02, recovers at the next start
	Kill                  // SIGKILL to the postmaster and all it started, as when the machine dies
)

var signals = map[Mode]syscall.Signal{Fast: syscall.SIGINT, Immediate: syscall.SIGQUIT, Kill: syscall.SIGKILL}

// Stop ends the server and returns when it and its backends are gone. Run starts it again.
func (s *Server) Stop(ctx context.Context, mode Mode) error {
	if s.external != "" {
		return errExternal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	children := childrenOf(s.proc.cmd.Process.Pid)
	defer adoptOrphans()()
	if mode == Kill && s.Install.Image != "" {
		s.killContainer()
	} else {
		s.proc.signal(signals[mode])
	}
	if mode == Kill {
		for _, pid := range children {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may just have ended
		}
	}
	if err := s.waitGone(ctx, children); err != nil {
		return err
	}
	s.proc = nil
	if mode == Kill && s.Install.Image != "" { // the file names pid 1, as the next server's will
		return os.Remove(filepath.Join(s.data(), "postmaster.pid"))
	}
	return nil
}

func (s *Server) waitGone(ctx context.Context, children []int) error {
	select {
	case <-s.proc.done:
	case <-ctx.Done():
		return fmt.Errorf("postgres does not stop: %w\n%s", ctx.Err(), s.logTail())
	}
	return poll(ctx, func() bool {
		for _, pid := range children {
			reap(pid)
			if alive(pid) {
				return false
			}
		}
		return true
	})
}

// Restart stops the server and starts it again on the same port.
func (s *Server) Restart(ctx context.Context, mode Mode) error {
	if err := s.Stop(ctx, mode); err != nil {
		return err
	}
	return s.Run(ctx)
}

// Close ends the server and removes its folder. A second Close does nothing.
func (s *Server) Close() error {
	if s.external != "" || s.dir == "" {
		return nil
	}
	err := s.Stop(context.Background(), Immediate)
	if err != nil {
		err = errors.Join(err, s.Stop(context.Background(), Kill))
	}
	s.freeSharedMemory()
	if s.out != nil {
		err = errors.Join(err, s.out.Close())
	}
	err = errors.Join(err, os.RemoveAll(s.dir), s.guard.release())
	s.dir = ""
	return err
}

// freeSharedMemory removes what a killed postmaster could not. One that ended by itself has removed
// its postmaster.pid, where the segment is named.
func (s *Server) freeSharedMemory() {
	const segmentLine = 6
	file := s.pidFile()
	if s.Install.Image != "" || len(file) <= segmentLine { // a container's segments went with it
		return
	}
	fields := strings.Fields(file[segmentLine]) // key and id
	if len(fields) != 2 {
		return
	}
	if id, err := strconv.Atoi(fields[1]); err == nil {
		removeSharedMemory(id)
	}
}

// errExternal is returned for what only the owner of a server may do.
var errExternal = errors.New("the server of PGSIGNET_TEST_DSN is not ours")

// poll waits until ok, looking every 5 ms, for startTimeout at most.
func poll(ctx context.Context, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// SetHBA replaces the lines of pg_hba.conf behind the superuser's own and reloads.
func (s *Server) SetHBA(ctx context.Context, hba ...string) error {
	s.opts.HBA = hba
	return s.rewrite(ctx, s.HBAFile(), s.opts.hba)
}

// SetIdent replaces the lines of pg_ident.conf and reloads.
func (s *Server) SetIdent(ctx context.Context, ident ...string) error {
	s.opts.Ident = ident
	return s.rewrite(ctx, s.IdentFile(), s.opts.ident)
}

func (s *Server) rewrite(ctx context.Context, path string, content func() []string) error {
	if s.external != "" {
		return errExternal
	}
	if err := s.user.writeFile(path, lines(content())); err != nil {
		return err
	}
	return s.Reload(ctx)
}

// SetTLS replaces the certificate, key, CAs or revocation list (those that are not empty) and
// reloads. A server without a CRL so far gets one with a restart only: it needs a new setting.
func (s *Server) SetTLS(ctx context.Context, t TLS) error {
	if s.external != "" {
		return errExternal
	}
	if err := s.writeTLS(t); err != nil {
		return err
	}
	if t.CRL != "" {
		s.opts.TLS.CRL = t.CRL
	}
	if err := s.writeSettings(); err != nil {
		return err
	}
	return s.Reload(ctx)
}

// Dir is the server's folder, which holds its data directory, socket and log.
func (s *Server) Dir() string { return s.dir }
