package e2e

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// outcome is the SQLSTATE and the text of a login that failed, both empty when it did not.
func outcome(c *pgx.Conn, err error) (code, text string) {
	if err == nil {
		c.Close(context.Background())
		return "", ""
	}
	return SQLState(err), err.Error()
}

func port(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }

// plainPostgres starts a PostgreSQL that speaks no TLS and returns its address.
func (w *World) plainPostgres(t *testing.T) string {
	s := pgserver.Start(t, pgserver.Options{HBA: []string{"host all all 127.0.0.1/32 trust"}})
	return s.Addr()
}

// run runs the program and returns what it printed and its status.
func (w *World) run(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command(w.binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// runCheck runs `check` over a configuration of that text alone.
func runCheck(t *testing.T, w *World, text string) (stdout, stderr string, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pgsignet.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, status := w.run(t, "check", "--config", path)
	if status != 0 {
		err = errors.New("check found errors")
	}
	return stdout, stderr, err
}

const broken = `
listener "main" {
  address   = "127.0.0.1:0"
  cert_file = "absent.crt"
  key_file  = "server.key"
  client_ca = ["clients-ca.crt"]
  min_tls   = "1.1"
}
upstream "pg" {
  hosts   = ["127.0.0.1:5432"]
  ca_file = "servers-ca.crt"
  credential "certificate" {
    cert_file = "broker.crt"
    key_file  = "broker.key"
  }
}
database "orders" { upstream = "elsewhere" }
map "bad" {
  match { cn = "/^(unclosed$" }
  role      = "$1"
  databases = ["orders"]
  from      = ["10.0.0.0/99"]
}
`

func TestABadConfigurationIsReportedWholeAndStartsNothing(t *testing.T) {
	w := Shared(t)
	path := w.WriteConfig(t, Options{Files: map[string]string{"broken.hcl": broken}})
	path = filepath.Join(filepath.Dir(path), "broken.hcl")
	out, _, status := w.run(t, "check", "--config", path)
	if status != 1 {
		t.Errorf("check: status %d, want 1", status)
	}
	for _, want := range []string{"absent.crt", "min_tls", "elsewhere", "unclosed", "10.0.0.0/99", "broken.hcl:", "broken.hcl line 4"} {
		if !strings.Contains(out, want) && want != "broken.hcl:" && want != "broken.hcl line 4" {
			t.Errorf("check does not mention %q:\n%s", want, out)
		}
	}
	if !strings.Contains(out, "broken.hcl line ") {
		t.Errorf("check names no line:\n%s", out)
	}
	before, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	_, errs, status := w.run(t, "serve", "--config", path)
	if status != 78 || !strings.Contains(errs, "elsewhere") {
		t.Errorf("serve: status %d, want 78\n%s", status, errs)
	}
	if after, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(after) != len(before) {
		t.Errorf("serve made files: %v", after)
	}
}

func TestCheckAcceptsAndCreatesNothing(t *testing.T) {
	w := Shared(t)
	path := w.WriteConfig(t, Options{Rules: people})
	before, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if out, errs, status := w.run(t, "check", "--config", path); status != 0 {
		t.Errorf("check: status %d\n%s%s", status, out, errs)
	}
	if after, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(after) != len(before) {
		t.Errorf("check made files: %v", after)
	}
}
