// Package compose runs docker-compose.yml with a real engine where one answers and holds the images
// that the file names; images.sh makes them without a registry.
package compose

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const root = "../.."

// run runs a command in the project's folder.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "POSTGRES_VERSION=15")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// engine returns the compose command, or says why the test does not run.
func engine(t *testing.T) []string {
	t.Helper()
	if out, err := run(t, "docker", "info"); err != nil || strings.Contains(out, "Cannot connect") {
		t.Skip("did not run: no Docker engine answers")
	}
	for _, image := range []string{"postgres:15", "pgsignet:local"} {
		if _, err := run(t, "docker", "image", "inspect", image); err != nil {
			t.Skipf("did not run: the engine has no image %s; testenv/compose/images.sh makes it", image)
		}
	}
	if _, err := run(t, "docker", "compose", "version"); err == nil {
		return []string{"docker", "compose"}
	}
	if _, err := exec.LookPath("docker-compose"); err != nil {
		t.Skip("did not run: neither docker compose nor docker-compose is installed")
	}
	return []string{"docker-compose"}
}

func TestComposeServesPsqlByCertificate(t *testing.T) {
	compose := engine(t)
	with := func(args ...string) []string { return append(append([]string{}, compose[1:]...), args...) }
	t.Cleanup(func() {
		if out, err := run(t, "make", "down"); err != nil {
			t.Errorf("make down: %v\n%s", err, out)
		}
		if out, _ := run(t, compose[0], with("ps", "-q")...); strings.TrimSpace(out) != "" {
			t.Errorf("make down left containers: %s", out)
		}
	})
	if out, err := run(t, "make", "up"); err != nil {
		logs, _ := run(t, compose[0], with("logs", "--no-color")...)
		t.Fatalf("make up: %v\n%s\n%s", err, out, logs)
	}
	psql := func(sql string, env ...string) (string, error) {
		args := []string{"run", "--rm", "-T"}
		for _, e := range env {
			args = append(args, "-e", e)
		}
		return run(t, compose[0], with(append(args, "psql", "-XAt", "-c", sql)...)...)
	}
	out, err := psql("select current_user, count(*) from orders")
	if err != nil || !strings.Contains(out, "alice|42") {
		logs, _ := run(t, compose[0], with("logs", "--no-color")...)
		t.Fatalf("psql as alice: %v\n%s\n%s", err, out, logs)
	}
	if out, err := psql("select 1", "PGUSER=billing_rw"); err == nil || !strings.Contains(out, "certificate not admitted") {
		t.Errorf("alice asks for billing_rw: %v\n%s", err, out)
	}
	if out, err := psql("select 1", "PGHOST=postgres", "PGPORT=5432"); err == nil {
		t.Errorf("alice reached PostgreSQL past the broker:\n%s", out)
	}
}
