package compat

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// tools is a broker in one mode with PostgreSQL's own programs in front of it.
type tools struct {
	*world
	mode   string
	target *Target // as the role of the drivers
	super  *Target // as the superuser
}

// TestTools runs PostgreSQL's programs through the broker in both modes.
func TestTools(t *testing.T) {
	if _, err := os.Stat(psqlProgram); err != nil {
		skip(t, fmt.Errorf("%w (Debian package postgresql-client-15)", err))
	}
	w := newWorld(t, 0, map[string]string{"wal_level": "logical"})
	for _, mode := range []string{"session", "transaction"} {
		broker := w.broker(t, mode)
		x := &tools{
			world: w, mode: mode,
			target: w.at(t, mode, broker.Addr, role, w.client(role)),
			super:  w.at(t, mode, broker.Addr, pgserver.Superuser, w.client(pgserver.Superuser)),
		}
		for name, test := range map[string]func(*tools, *testing.T){
			"pg_dump and pg_restore": (*tools).dumpAndRestore, "large objects": (*tools).largeObjects,
			"psql's \\c": (*tools).reconnect, "psql's \\watch": (*tools).watch, "psql's \\password": (*tools).password,
			"service file": (*tools).serviceFile, "several hosts": (*tools).severalHosts, "pgbench": (*tools).pgbench,
			"what certificates cannot do": (*tools).refusedByLibpq,
		} {
			t.Run(mode+"/"+name, func(t *testing.T) { test(x, t) })
		}
	}
}

// run runs a program of PostgreSQL against a target and returns what it printed; it must succeed.
func run(t *testing.T, target *Target, program string, args ...string) string {
	t.Helper()
	out, err := try(t, target, nil, program, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return out
}

// try is run for a program that may fail.
func try(t *testing.T, target *Target, env []string, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(psqlProgram), program), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C", "PSQLRC=/dev/null"}, target.Env()...)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// psql runs statements or commands, one argument each, and returns the rows.
func psql(t *testing.T, target *Target, commands ...string) string {
	t.Helper()
	args := []string{"-XqAt", "-v", "ON_ERROR_STOP=1"}
	for _, command := range commands {
		args = append(args, "-c", command)
	}
	return run(t, target, "psql", args...)
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// contents is a query whose answer tells two copies of the dumped database apart.
const contents = "SELECT count(*), md5(string_agg(id || name, ',' ORDER BY id)) FROM dumped"

func (x *tools) dumpAndRestore(t *testing.T) {
	if x.server.Major > 15 {
		t.Skipf("DID NOT RUN: pg_dump 15 refuses PostgreSQL %d", x.server.Major)
	}
	psql(t, x.target, "DROP TABLE IF EXISTS dumped", "CREATE TABLE dumped (id int PRIMARY KEY, name text)",
		"INSERT INTO dumped SELECT i, 'row ' || i FROM generate_series(1, 5000) i")
	dir := filepath.Join(t.TempDir(), "dump")
	run(t, x.target, "pg_dump", "-Fd", "-j4", "-f", dir, "-t", "dumped")
	copied := "copy_" + x.mode
	psql(t, x.super, "CREATE DATABASE "+copied+" OWNER "+role)
	run(t, x.target, "pg_restore", "-j4", "-d", copied, dir)
	to := *x.target
	to.Database = copied
	expect(t, psql(t, &to, contents), psql(t, x.target, contents))
}

func (x *tools) largeObjects(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, []byte(strings.Repeat("large object\n", 100_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	psql(t, x.target, "\\lo_import "+from, "\\lo_export :LASTOID "+to, "\\lo_unlink :LASTOID")
	a, errA := os.ReadFile(from)
	b, errB := os.ReadFile(to)
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("the large object came back as %d bytes, %v, want %d", len(b), errB, len(a))
	}
}

func (x *tools) reconnect(t *testing.T) {
	expect(t, psql(t, x.super, "\\c postgres", "SELECT current_database()", "\\c - - - -", "SELECT current_database()"), "postgres\npostgres")
}

// watch repeats its query until that fails, which it does the third time.
func (x *tools) watch(t *testing.T) {
	psql(t, x.target, "DROP SEQUENCE IF EXISTS watched", "CREATE SEQUENCE watched")
	file := filepath.Join(t.TempDir(), "watch.sql") // -c takes no backslash command behind a query
	if err := os.WriteFile(file, []byte("SELECT 6 / (3 - nextval('watched'))\n\\watch 0.01\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := try(t, x.target, nil, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", file)
	if err == nil || !strings.Contains(out, "3\n") || !strings.Contains(out, "6\n") || !strings.Contains(out, "division by zero") {
		t.Errorf("\\watch printed %q, %v, want 3, 6 and an error", out, err)
	}
}

func (x *tools) password(t *testing.T) {
	const stored = "SELECT rolpassword FROM pg_authid WHERE rolname = '" + role + "'"
	before := psql(t, x.super, stored)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "setsid", "-w", psqlProgram, "-Xq", "-c", "\\password") // without a terminal it reads its input
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, x.target.Env()...)
	cmd.Stdin = strings.NewReader("correct horse\ncorrect horse\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("\\password: %v\n%s", err, out)
	}
	if after := psql(t, x.super, stored); after == before || !strings.HasPrefix(after, "SCRAM-SHA-256$") {
		t.Errorf("password is stored as %q, before %q", after, before)
	}
}

func (x *tools) serviceFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pg_service.conf")
	text := fmt.Sprintf("[shop]\nhost=localhost\nport=%s\nuser=%s\ndbname=%s\nsslmode=verify-full\nsslrootcert=%s\nsslcert=%s\nsslkey=%s\n",
		x.target.Port, role, role, x.target.RootCert, x.target.Cert, x.target.Key)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := try(t, &Target{}, []string{"PGSERVICEFILE=" + file}, "psql", "-XqAt", "service=shop", "-c", "SELECT current_user")
	if err != nil || out != role {
		t.Errorf("got %q, %v, want %q", out, err, role)
	}
}

func (x *tools) severalHosts(t *testing.T) {
	uri := fmt.Sprintf("postgresql://%s@localhost:1,localhost:%s/%s?sslmode=verify-full&sslrootcert=%s&sslcert=%s&sslkey=%s&target_session_attrs=",
		role, x.target.Port, role, x.target.RootCert, x.target.Cert, x.target.Key)
	for _, attrs := range []string{"any", "read-write", "primary", "prefer-standby"} {
		out, err := try(t, &Target{}, nil, "psql", "-XqAt", uri+attrs, "-c", "SELECT current_user")
		if err != nil || out != role {
			t.Errorf("target_session_attrs=%s: got %q, %v, want %q", attrs, out, err, role)
		}
	}
	out, err := try(t, &Target{}, nil, "psql", "-XqAt", uri+"standby", "-c", "SELECT 1")
	if err == nil || !strings.Contains(out, "server is not in hot standby mode") {
		t.Errorf("target_session_attrs=standby: got %q, %v, want a refusal by libpq", out, err)
	}
}

// pgbench runs each way of sending queries, with and without a connection per transaction.
func (x *tools) pgbench(t *testing.T) {
	run(t, x.target, "pgbench", "-i", "-q", "-s", "1")
	for _, how := range []string{"simple", "extended", "prepared"} {
		for _, extra := range [][]string{nil, {"-C"}} {
			args := append([]string{"-M", how, "-c", "4", "-j", "4", "-t", "10", "-n"}, extra...)
			out := run(t, x.target, "pgbench", args...)
			if !strings.Contains(out, "number of transactions actually processed: 40/40") {
				t.Errorf("pgbench %v: %s", args, out)
			}
		}
	}
}

// refusedByLibpq: a login by certificate has no password exchange to bind to the channel or to insist on.
func (x *tools) refusedByLibpq(t *testing.T) {
	out, err := try(t, x.target, []string{"PGCHANNELBINDING=require"}, "psql", "-c", "SELECT 1")
	if err == nil || !strings.Contains(out, "channel binding required") {
		t.Errorf("channel_binding=require: got %q, %v, want a refusal by libpq", out, err)
	}
	inst, err := pgserver.Find(t.Context(), 18)
	if err != nil {
		skip(t, fmt.Errorf("libpq 18: %w", err))
	}
	out, err = try(t, x.target, append(inst.Env(), "PGREQUIREAUTH=scram-sha-256"), "psql", "-c", "SELECT 1")
	if err == nil || !strings.Contains(out, `authentication method requirement "scram-sha-256" failed`) {
		t.Errorf("require_auth=scram-sha-256: got %q, %v, want a refusal by libpq", out, err)
	}
}
