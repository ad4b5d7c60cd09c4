package suites

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// PGX is pgx's own test suite, of the version this repository uses.
type PGX struct {
	Version string
	dir     string
}

// pgxModule is looked up in this repository's go.mod, where its version is.
const pgxModule = "github.com/jackc/pgx/v5"

// PreparePGX copies the module out of Go's cache, which is read-only and where a module cannot
// resolve its own test dependencies.
func PreparePGX(ctx context.Context) (*PGX, error) {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", pgxModule).Output()
	if err != nil {
		return nil, fmt.Errorf("go mod download %s: %w", pgxModule, err)
	}
	var module struct{ Version, Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, err
	}
	cache, err := pgserver.CacheDir()
	if err != nil {
		return nil, err
	}
	parent := filepath.Join(cache, "suites")
	p := &PGX{Version: module.Version, dir: filepath.Join(parent, "pgx_"+module.Version)}
	if _, err := os.Stat(p.dir); err == nil {
		return p, nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	return p, copyModule(module.Dir, p.dir)
}

func copyModule(from, to string) (err error) {
	work, err := os.MkdirTemp(filepath.Dir(to), ".pgx-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	next := filepath.Join(work, "pgx")
	if err := os.CopyFS(next, os.DirFS(from)); err != nil {
		return err
	}
	return os.Rename(next, to)
}

// setup is what pgx's testsetup/postgresql_setup.sql makes, as far as its tests without passwords need it.
const pgxSetup = `CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE DOMAIN uint64 AS numeric(20,0);
CREATE ROLE " tricky, ' } "" \ test user " SUPERUSER LOGIN`

// Run runs the suite in a database of its own, with the tests that pgx has for a transaction pooler
// with prepared statements: they hold for a server without a pooler, too.
func (p *PGX) Run(ctx context.Context, t *Target) (*Result, error) {
	const database = "pgx_test"
	if err := t.CreateDatabase(ctx, database); err != nil {
		return nil, err
	}
	if err := t.Server.ExecIn(ctx, database, pgxSetup); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-p=1", "-timeout=15m", "./...")
	cmd.Dir = p.dir
	cmd.Env = append(withoutPG(os.Environ()), "GOFLAGS=-mod=mod", "GOWORK=off")
	for _, name := range []string{"DATABASE", "TCP_CONN_STRING", "TLS_CONN_STRING", "PGBOUNCER_CONN_STRING"} {
		cmd.Env = append(cmd.Env, "PGX_TEST_"+name+"="+t.Conninfo(database))
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	result, parseErr := parseGoTest(&stdout)
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed || parseErr != nil {
		return nil, errors.Join(err, parseErr)
	}
	if len(result.Passed) == 0 {
		return nil, fmt.Errorf("pgx ran no test: %v\n%s\n%s", err, stderr.String(), result.Output)
	}
	return result, nil
}

// withoutPG leaves out what would redirect a driver.
func withoutPG(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, "PG") })
}

// goEvent is a line of `go test -json`; see `go doc test2json`.
type goEvent struct{ Action, Package, Test, Output string }

// parseGoTest sorts tests by how they ended. A package that fails without a failing test, because it
// does not build or panics, counts as a test named after the package.
func parseGoTest(r *bytes.Buffer) (*Result, error) {
	result := &Result{}
	outputs := map[string]string{}
	broken := map[string]bool{} // packages with a failed test
	for decoder := json.NewDecoder(r); decoder.More(); {
		var e goEvent
		if err := decoder.Decode(&e); err != nil {
			return nil, fmt.Errorf("go test -json: %w", err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(e.Package, pgxModule), "/")
		if e.Test != "" {
			name = strings.TrimPrefix(name+"."+e.Test, ".")
		}
		if e.Action == "output" {
			outputs[name] += e.Output
			continue
		}
		result.add(e, name, outputs, broken)
	}
	for _, names := range [][]string{result.Passed, result.Failed, result.Skipped} {
		slices.Sort(names)
	}
	return result, nil
}

func (r *Result) add(e goEvent, name string, outputs map[string]string, broken map[string]bool) {
	switch {
	case e.Action == "fail" && (e.Test != "" || !broken[e.Package]):
		broken[e.Package] = true
		r.Failed = append(r.Failed, name)
		r.Output += outputs[name]
	case e.Test == "": // a package's own end says nothing more
	case e.Action == "pass":
		r.Passed = append(r.Passed, name)
	case e.Action == "skip":
		r.Skipped = append(r.Skipped, name)
	}
}
