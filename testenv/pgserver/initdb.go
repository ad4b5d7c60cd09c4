package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// initData makes the data directory, by initdb or from the template that an earlier one left.
func (s *Server) initData(ctx context.Context) error {
	if parent, ok := s.templates(); ok {
		template, err := s.template(ctx, parent)
		if err != nil {
			return err
		}
		return s.copyTree(ctx, template, s.data())
	}
	return s.initdb(ctx, s.data())
}

// templates is the cache's folder for templates; false when there shall be none or we may not write there.
func (s *Server) templates() (string, bool) {
	cache, err := CacheDir()
	if !s.opts.CacheTemplate || err != nil {
		return "", false
	}
	parent := filepath.Join(cache, "initdb")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", false
	}
	return parent, unix.Access(parent, unix.W_OK) == nil
}

func (s *Server) initdb(ctx context.Context, dir string) error {
	cmd := s.program(ctx, "initdb", "-D", dir, "-U", Superuser, "-A", "trust",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out.String())
	}
	return appendLine(filepath.Join(dir, "postgresql.conf"), "include '"+settingsFile+"'\n")
}

func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// template returns a data directory that was never started, made once per version and user. All
// clusters of one template share a system identifier, which only a standby looks at.
func (s *Server) template(ctx context.Context, parent string) (string, error) {
	unlock, err := lockFile(filepath.Join(parent, ".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	template := filepath.Join(parent, fmt.Sprintf("%s-uid%d", s.Full, s.user.uid))
	if _, err := os.Stat(filepath.Join(template, "PG_VERSION")); err == nil {
		return template, nil
	}
	return template, s.makeTemplate(ctx, template)
}

// makeTemplate moves a finished directory into place, so that none is ever seen half done.
func (s *Server) makeTemplate(ctx context.Context, template string) error {
	fresh := filepath.Join(s.dir, "template")
	if err := s.initdb(ctx, fresh); err != nil {
		return err
	}
	next := template + ".new"
	if err := os.RemoveAll(next); err != nil {
		return err
	}
	if err := s.copyTree(ctx, fresh, next); err != nil {
		return err
	}
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	return os.Rename(next, template)
}

// copyTree copies a data directory with its owners and modes. It runs as ourselves: as root we may
// read what the server's user owns, and keep it that user's.
func (s *Server) copyTree(ctx context.Context, from, to string) error {
	cmd := exec.CommandContext(ctx, "cp", "-Rp", from, to)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s: %w\n%s", from, err, out)
	}
	return nil
}
