package compat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// Place is where a driver's program is found, built or fetched to.
type Place struct {
	Source string // this package's folder
	Work   string // for what is built; goes with the test
}

// absent is why a driver cannot run here.
type absent string

func (a absent) Error() string { return string(a) }

// Command makes a driver's command line. Its error is an absent driver's reason, or a failed build.
func (p *Place) Command(ctx context.Context, d Driver) (*exec.Cmd, error) {
	for _, file := range d.Needs {
		if found, err := filepath.Glob(file); err != nil || len(found) == 0 {
			return nil, absent(fmt.Sprintf("%s is not there (Debian packages %v)", file, d.Packages))
		}
	}
	args, err := d.Build(p)
	if err != nil {
		return nil, err
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		return nil, absent(args[0] + " is not installed")
	}
	return exec.CommandContext(ctx, args[0], args[1:]...), nil
}

// libpq18 runs a program with the libpq of npm's PostgreSQL 18.
func libpq18(build func(*Place) ([]string, error)) func(*Place) ([]string, error) {
	return func(p *Place) ([]string, error) {
		inst, err := pgserver.Find(context.Background(), 18)
		if err != nil {
			return nil, absent(err.Error())
		}
		args, err := build(p)
		return append(append([]string{"/usr/bin/env"}, inst.Env()...), args...), err
	}
}

// javaProgram compiles a script once for all its runs.
func javaProgram(name, jar string) func(*Place) ([]string, error) {
	return func(p *Place) ([]string, error) {
		main, classes := strings.TrimSuffix(name, ".java"), filepath.Join(p.Work, "java")
		args := []string{"java", "-XX:TieredStopAtLevel=1", "-cp", jar + ":" + classes, main}
		if _, err := os.Stat(filepath.Join(classes, main+".class")); err == nil {
			return args, nil
		}
		cmd := exec.Command("javac", "-J-XX:TieredStopAtLevel=1", "-d", classes, "-cp", jar, filepath.Join(p.Source, "scripts", name))
		if _, err := exec.LookPath(cmd.Path); err != nil {
			return nil, absent("javac is not installed")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("compile %s: %w\n%s", name, err, out)
		}
		return args, nil
	}
}

// goProgram builds a command of this package's folder, once; one with a go.mod of its own is built there.
func goProgram(name string) func(*Place) ([]string, error) {
	return func(p *Place) ([]string, error) {
		program := filepath.Join(p.Work, name)
		if _, err := os.Stat(program); err == nil {
			return []string{program}, nil
		}
		tool := func(args ...string) ([]byte, error) {
			cmd := exec.Command("go", args...)
			cmd.Dir = filepath.Join(p.Source, name)
			cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
			return cmd.CombinedOutput()
		}
		if out, err := tool("mod", "download"); err != nil {
			return nil, absent(fmt.Sprintf("its module cannot be had: %v %s", err, bytes.TrimSpace(out)))
		}
		if out, err := tool("build", "-o", program, "."); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
		return []string{program}, nil
	}
}

// nodeFiles are what the node drivers consist of; node looks for packages beside them.
var nodeFiles = []string{"package.json", "package-lock.json", "steps.js", "pg.js", "postgres.js"}

// nodeProgram runs a script from a folder that holds the packages of the lock file.
func nodeProgram(name string) func(*Place) ([]string, error) {
	return func(p *Place) ([]string, error) {
		dir, err := nodeDir(p.Source)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
			return nil, absent("npm packages are not installed (go run ./testenv/compat/setup)")
		}
		return []string{"node", filepath.Join(dir, name)}, nil
	}
}

// nodeDir is a folder of the cache, named after what it holds.
func nodeDir(source string) (string, error) {
	cache, err := pgserver.CacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range nodeFiles {
		data, err := os.ReadFile(filepath.Join(source, "node", name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n%s", name, len(data), data)
	}
	return filepath.Join(cache, "compat-node-"+hex.EncodeToString(sum.Sum(nil)[:6])), nil
}

// InstallNode fetches the packages of the node drivers, without running any package's scripts.
// It does nothing when they are there.
func InstallNode(ctx context.Context, source string, run func(*exec.Cmd) error) (err error) {
	dir, err := nodeDir(source)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), ".compat-node-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	for _, name := range nodeFiles {
		data, err := os.ReadFile(filepath.Join(source, "node", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(work, name), data, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
	cmd.Dir = work
	if err := run(cmd); err != nil {
		return fmt.Errorf("npm ci: %w", err)
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	return os.Rename(work, dir)
}
