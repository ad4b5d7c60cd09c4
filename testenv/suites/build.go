package suites

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// Package is the Debian package whose suites are built: that of Debian 12.
const Package = "postgresql-15"

// Kit holds the suites, built.
type Kit struct {
	Version string // of the source package: "15.18-0+deb12u1"
	Bin     string // psql and the other client programs of the same version

	dir string
}

// buildPackages is what a build needs, beside a shell.
var buildPackages = []string{"gcc", "make", "libc6-dev", "dpkg-dev", "bzip2", "xz-utils", "perl", Package}

// Prepare returns the kit for the installed server, from the cache or built within a minute or two.
// It needs a Debian machine, and root only where a package is missing.
func Prepare(ctx context.Context, out io.Writer) (*Kit, error) {
	if err := pgserver.AptInstall(ctx, out, buildPackages...); err != nil {
		return nil, err
	}
	version, err := installedVersion(ctx)
	if err != nil {
		return nil, err
	}
	cache, err := pgserver.CacheDir()
	if err != nil {
		return nil, err
	}
	parent := filepath.Join(cache, "suites")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	kit := &Kit{Version: version, Bin: "/usr/lib/postgresql/15/bin", dir: filepath.Join(parent, Package+"_"+version)}
	if _, err := os.Stat(kit.dir); err == nil {
		return kit, nil
	}
	return kit, kit.build(ctx, out, parent)
}

// installedVersion is the source package's version of the installed server: suite and server must agree.
func installedVersion(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f=${source:Version}", Package).Output()
	if err != nil {
		return "", fmt.Errorf("dpkg-query %s: %w", Package, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// build works in a folder beside the kit's and renames what is needed into place as its last step.
func (k *Kit) build(ctx context.Context, out io.Writer, parent string) (err error) {
	start := time.Now()
	work, err := os.MkdirTemp(parent, ".build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	src, err := downloadSource(ctx, out, work, Package, k.Version)
	if err != nil {
		return err
	}
	if err := compile(ctx, out, src); err != nil {
		return err
	}
	done := filepath.Join(work, "done")
	if err := collect(src, done); err != nil {
		return err
	}
	fmt.Fprintf(out, "built the suites of %s %s in %s\n", Package, k.Version, time.Since(start).Round(time.Second))
	return os.Rename(done, k.dir)
}

// suiteDirs are the folders below src/test that a run needs: programs, modules, scripts, expected files.
var suiteDirs = []string{"regress", "isolation", "modules/libpq_pipeline"}

// compile builds the programs alone. They load the system's libpq, which has TLS, so the build needs
// no library of its own.
func compile(ctx context.Context, out io.Writer, src string) error {
	configure := exec.CommandContext(ctx, "./configure", "--quiet", "--without-readline", "--without-zlib", "--without-icu")
	configure.Dir = src
	if err := run(configure, out); err != nil {
		return err
	}
	for _, dir := range suiteDirs {
		build := exec.CommandContext(ctx, "make", "-s", "-j2", "-C", filepath.Join("src/test", dir), "all")
		build.Dir = src
		if err := run(build, out); err != nil {
			return err
		}
	}
	return nil
}

func collect(src, done string) error {
	if err := os.Mkdir(done, 0o755); err != nil {
		return err
	}
	for _, dir := range suiteDirs {
		if err := os.Rename(filepath.Join(src, "src/test", dir), filepath.Join(done, filepath.Base(dir))); err != nil {
			return err
		}
	}
	return nil
}
