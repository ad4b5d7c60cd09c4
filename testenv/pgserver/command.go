package pgserver

import (
	"context"
	"os/exec"
	"path/filepath"
)

// Command is a program run as the server's user, which is the caller's own unless that is root:
// psql's \copy and a server-side COPY then see the same files. Its environment is PATH, LC_ALL=C,
// TZ=UTC and HOME, a folder that goes with the server; append to Env.
func (s *Server) Command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = s.dir, s.user.environment(s.dir)
	s.user.apply(cmd)
	return cmd
}

// MakeDir creates a folder of the server's user that goes with the server, and returns its path.
func (s *Server) MakeDir(name string) (string, error) {
	path := filepath.Join(s.dir, name)
	return path, s.user.mkdir(path)
}

// WriteFile creates a file of the server's user, mode 0600, that goes with the server, and returns its path.
func (s *Server) WriteFile(name string, data []byte) (string, error) {
	path := filepath.Join(s.dir, name)
	return path, s.user.writeFile(path, data)
}

// Program is the path of one of the installation's programs: psql, pg_dump. It may not exist: npm's
// packages hold the server alone.
func (s *Server) Program(name string) string { return filepath.Join(s.Install.Bin, name) }
