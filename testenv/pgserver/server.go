package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Server is one PostgreSQL cluster of ours, or, with External, somebody else's.
// Its methods are safe for concurrent use, but for Restart, Stop, Standby and Close among each other.
type Server struct {
	Host      string // 127.0.0.1
	Port      int
	SocketDir string // folder of the unix socket, for the superuser
	Major     int    // 15, 16, …
	Full      string // "15.18"
	Install   *Installation

	external string // DSN of a server that is not ours
	dir      string // holds data, sock, tls, log; empty when external
	user     account
	opts     Options
	guard    *guard
	out      *os.File // the server's log, open for appending

	mu   sync.Mutex // guards proc
	proc *process   // nil while stopped
}

// Superuser is the role that initdb creates.
const Superuser = "postgres"

// startTimeout bounds a start or stop, on a machine that is busy with other tests.
const startTimeout = 60 * time.Second

// New finds PostgreSQL and runs a cluster until Close. Nothing of it outlives this process, even if
// that is killed.
func New(ctx context.Context, opts Options) (*Server, error) {
	inst, err := Find(ctx, opts.Version)
	if err != nil {
		return nil, err
	}
	if opts.Logf != nil {
		opts.Logf("using %s", inst)
	}
	s, err := prepare(inst, opts)
	if err != nil {
		return nil, err
	}
	if err := s.create(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare makes the server's folder and the guard that will remove it.
func prepare(inst *Installation, opts Options) (*Server, error) {
	user, err := serverAccount()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(tempRoot(user), "pgs-")
	if err != nil {
		return nil, err
	}
	s := &Server{
		Host: "127.0.0.1", SocketDir: filepath.Join(dir, "s"), Major: inst.Major, Full: inst.Full, Install: inst,
		dir: dir, user: user, opts: opts,
	}
	if s.guard, err = startGuard(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.layOut(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) layOut() error {
	if err := errors.Join(s.user.own(s.dir), s.nameContainer()); err != nil {
		return err
	}
	for _, name := range []string{"s", "tls"} {
		if err := s.user.mkdir(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	var err error
	s.out, err = os.OpenFile(s.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return err
}

// tempRoot is a folder for short-lived files that the server's user can enter and whose path leaves
// room for a socket's name: 107 bytes in all.
func tempRoot(user account) string {
	const longest = 60
	dir := os.TempDir()
	if len(dir) > longest || (user.drop && !openToAll(dir)) {
		return "/tmp"
	}
	return dir
}

func openToAll(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// create fills the data directory and starts the server for the first time.
func (s *Server) create(ctx context.Context) error {
	if err := s.initData(ctx); err != nil {
		return err
	}
	if err := s.writeTLS(s.opts.TLS); err != nil {
		return err
	}
	if err := s.user.writeFile(s.HBAFile(), lines(s.opts.hba())); err != nil {
		return err
	}
	if err := s.user.writeFile(s.IdentFile(), lines(s.opts.ident())); err != nil {
		return err
	}
	return s.startOnFreePort(ctx)
}

// startOnFreePort tries again when somebody takes the port between our choice and the server's bind.
func (s *Server) startOnFreePort(ctx context.Context) error {
	const attempts = 5
	for attempt := 1; ; attempt++ {
		port, err := FreePort()
		if err != nil {
			return err
		}
		s.Port = port
		offset := s.LogSize()
		if err = s.writeSettings(); err != nil {
			return err
		}
		if err = s.Run(ctx); err == nil {
			return nil
		}
		if attempt == attempts || !strings.Contains(s.logFrom(offset), "Address already in use") {
			return err
		}
	}
}

// settingsFile is included at the end of initdb's postgresql.conf.
const settingsFile = "pgserver.conf"

func (s *Server) writeSettings() error {
	return s.user.writeFile(filepath.Join(s.data(), settingsFile), []byte(s.settings(&s.opts)))
}

func (s *Server) data() string    { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

// program is a command of the installation, run as the server's user.
func (s *Server) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	if s.Install.Image != "" {
		return s.dockerCommand(ctx, name, args...)
	}
	return s.Command(ctx, s.Program(name), args...)
}

// Run starts the server after a Stop and returns when it takes connections.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil && !s.proc.ended() {
		return errors.New("server runs already")
	}
	cmd := s.program(context.WithoutCancel(ctx), "postgres", "-D", s.data())
	cmd.Stdout, cmd.Stderr = s.out, s.out
	proc, err := startProcess(cmd)
	if err != nil {
		return err
	}
	s.proc = proc
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return s.waitReady(ctx, proc)
}

// waitReady looks at the state in postmaster.pid, as pg_ctl does.
func (s *Server) waitReady(ctx context.Context, proc *process) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.state(proc) == "ready" {
			return nil
		}
		select {
		case <-proc.done:
			return fmt.Errorf("postgres ended while starting: %v\n%s", proc.err, s.logTail())
		case <-ctx.Done():
			proc.signal(syscall.SIGQUIT)
			return fmt.Errorf("postgres is not ready: %w\n%s", ctx.Err(), s.logTail())
		case <-tick.C:
		}
	}
}

// state is the last word of the postmaster about itself: "starting", "standby", "ready", "stopping".
// A file that a killed predecessor left says nothing.
func (s *Server) state(proc *process) string {
	const pidLine, stateLine = 0, 7
	fields := s.pidFile()
	if len(fields) <= stateLine || fields[pidLine] != s.pid(proc) {
		return ""
	}
	return strings.TrimSpace(fields[stateLine])
}

// pid is what the postmaster takes for its own; in a container that is 1.
func (s *Server) pid(proc *process) string {
	if s.Install.Image != "" {
		return "1"
	}
	return strconv.Itoa(proc.cmd.Process.Pid)
}

func (s *Server) pidFile() []string {
	data, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return nil
	}
	return strings.Split(string(data), "\n")
}
