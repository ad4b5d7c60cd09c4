package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Standby starts a hot standby that follows s. The data directory is copied while s is stopped,
// so sessions of s end, and come back on the same port. The caller closes the standby, before or
// after s.
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	if s.external != "" {
		return nil, errExternal
	}
	standby, err := prepare(s.Install, s.opts)
	if err != nil {
		return nil, err
	}
	if err := s.copyTo(ctx, standby); err != nil {
		return nil, errors.Join(err, standby.Close())
	}
	if err := standby.follow(ctx, s); err != nil {
		return nil, errors.Join(err, standby.Close())
	}
	return standby, nil
}

// copyTo fills the standby's folder from the stopped server, which runs again afterwards.
func (s *Server) copyTo(ctx context.Context, standby *Server) error {
	if err := s.Stop(ctx, Fast); err != nil {
		return err
	}
	err := s.copyTree(ctx, s.data(), standby.data())
	for _, path := range []string{"pg_hba.conf", "pg_ident.conf", "tls"} {
		if err == nil {
			err = s.copyTree(ctx, filepath.Join(s.dir, path), standby.dir)
		}
	}
	return errors.Join(err, s.Run(ctx))
}

func (s *Server) follow(ctx context.Context, primary *Server) error {
	s.opts.Settings = map[string]string{}
	for name, value := range primary.opts.Settings {
		s.opts.Settings[name] = value
	}
	s.opts.Settings["primary_conninfo"] = fmt.Sprintf("host=%s port=%d user=%s", primary.SocketDir, primary.Port, Superuser)
	if err := s.user.writeFile(filepath.Join(s.data(), "standby.signal"), nil); err != nil {
		return err
	}
	return s.startOnFreePort(ctx)
}

// Promote makes a standby a primary and returns when it takes writes.
func (s *Server) Promote(ctx context.Context) error {
	done, err := s.QueryString(ctx, "SELECT pg_promote(true, 60)::text")
	if err != nil {
		return err
	}
	if done != "true" {
		return fmt.Errorf("not promoted within 60 s\n%s", s.logTail())
	}
	return nil
}

// CaughtUp waits until the standby has replayed all that the primary had written when it was called.
func (s *Server) CaughtUp(ctx context.Context, primary *Server) error {
	target, err := primary.QueryString(ctx, "SELECT pg_current_wal_lsn()::text")
	if err != nil {
		return err
	}
	return poll(ctx, func() bool {
		at, err := s.QueryString(ctx, "SELECT (pg_last_wal_replay_lsn() >= $1::pg_lsn)::text", target)
		return err == nil && at == "true"
	})
}

// Env is the environment for a program of the installation, such as libpq from npm's package, which
// lies in the lib folder beside Bin.
func (i *Installation) Env() []string {
	lib := filepath.Join(filepath.Dir(i.Bin), "lib")
	if _, err := os.Stat(filepath.Join(lib, "libpq.so.5")); err != nil {
		return nil
	}
	return []string{"LD_LIBRARY_PATH=" + lib}
}
