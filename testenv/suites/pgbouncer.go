package suites

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// pgbouncerSuites are Debian's suites, newest first. A mirror may list a package that it does not
// hold; the first that can be fetched is built.
var pgbouncerSuites = []string{"sid", "testing", "stable"}

// PgBouncer returns a PgBouncer with prepared statements in transaction mode (1.21 or later), from the
// cache or built from Debian's source package of the newest suite that can be reached.
func PgBouncer(ctx context.Context, out io.Writer) (string, error) {
	cache, err := pgserver.CacheDir()
	if err != nil {
		return "", err
	}
	program := filepath.Join(cache, "pgbouncer", "pgbouncer")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return "", err
	}
	packages := []string{"gcc", "make", "libc6-dev", "dpkg-dev", "pkg-config", "libevent-dev", "libssl-dev", "libc-ares-dev"}
	if err := pgserver.AptInstall(ctx, out, packages...); err != nil {
		return "", err
	}
	var failed []error
	for _, suite := range pgbouncerSuites {
		err := buildPgBouncer(ctx, out, suite, program)
		if err == nil {
			return program, nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", suite, err))
	}
	return "", fmt.Errorf("no PgBouncer could be built; set PGBOUNCER to one: %w", errors.Join(failed...))
}

func buildPgBouncer(ctx context.Context, out io.Writer, suite, program string) (err error) {
	work, err := os.MkdirTemp(filepath.Dir(program), ".build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := writeSources(aptDir, work); err != nil {
		return err
	}
	if err := useSuite(work, suite); err != nil {
		return err
	}
	src, err := fetchSource(ctx, out, work, "pgbouncer")
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"./configure", "--quiet", "--without-systemd"}, {"make", "-s", "-j2", "pgbouncer"}} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = src
		if err := run(cmd, out); err != nil {
			return err
		}
	}
	return os.Rename(filepath.Join(src, "pgbouncer"), program)
}

var (
	suitesField = regexp.MustCompile(`(?m)^Suites:.*$`)
	suiteOfLine = regexp.MustCompile(`(?m)^(deb-src\s+(?:\[[^\]]*\]\s+)?\S+\s+)\S+`)
)

// useSuite changes the sources below dir, as writeSources has left them, to another suite.
func useSuite(dir, suite string) error {
	files, err := filepath.Glob(filepath.Join(dir, "sources.list.d", "*"))
	if err != nil {
		return err
	}
	for _, file := range append(files, filepath.Join(dir, "sources.list")) {
		text, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		// The security archive has suites of its own.
		entry := "\n"
		if filepath.Ext(file) == ".sources" {
			entry = "\n\n"
		}
		entries := slices.DeleteFunc(strings.Split(string(text), entry), func(e string) bool { return strings.Contains(e, "security") })
		changed := suitesField.ReplaceAll([]byte(strings.Join(entries, entry)), []byte("Suites: "+suite))
		changed = suiteOfLine.ReplaceAll(changed, []byte("${1}"+suite))
		if err := os.WriteFile(file, changed, 0o644); err != nil {
			return err
		}
	}
	return nil
}
