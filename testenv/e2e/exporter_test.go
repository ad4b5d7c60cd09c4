package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// listensOn is the exporter's word of the port that it was given.
var listensOn = regexp.MustCompile(`"Listening on".*address=(127\.0\.0\.1:\d+)`)

// pgbouncer_exporter v0.12.1, unchanged, reads the console: pgbouncer_up 1 and the figures of pools.
// It is a module of its own, since lib/pq has open advisories.
func TestPgbouncerExporter(t *testing.T) {
	w := Shared(t)
	binary := filepath.Join(t.TempDir(), "pgbouncer_exporter")
	build := exec.Command("go", "build", "-o", binary, "github.com/prometheus-community/pgbouncer_exporter")
	build.Dir = "../exporter"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	b := w.startConsole(t, Options{Pool: transactions(3)})
	alice := b.Connect(t, w.Client("alice"), "alice", "orders")
	tx, err := alice.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(context.Background(), "select 1"); err != nil {
		t.Fatal(err)
	}
	dsn := strings.Replace(b.DSN(w.admin(t, "Viewers"), "exporter", "pgbouncer"), "hostaddr=127.0.0.1 ", "", 1)
	exporter := exec.Command(binary, "--pgBouncer.connectionString="+dsn, "--web.listen-address=127.0.0.1:0", "--log.level=debug")
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	exporter.Stdout, exporter.Stderr = log, log
	said := func() string {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if err := exporter.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		exporter.Process.Kill()
		exporter.Wait()
		if t.Failed() {
			t.Logf("exporter:\n%s", said())
		}
	})
	var listening []string
	Poll(t, "the exporter to listen", func() bool {
		listening = listensOn.FindStringSubmatch(said())
		return listening != nil
	})
	status, body := get(t, "http://"+listening[1]+"/metrics", nil)
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	for _, want := range []string{
		"pgbouncer_up 1\n",
		`pgbouncer_version_info{version="PgBouncer 1.25.2"} 1`,
		`pgbouncer_pools_client_active_connections{database="orders",user="alice"} 1`,
		`pgbouncer_pools_client_waiting_connections{database="orders",user="alice"} 0`,
		`pgbouncer_pools_server_active_connections{database="orders",user="alice"} 1`,
		`pgbouncer_pools_server_idle_connections{database="orders",user="alice"} 0`,
		`pgbouncer_config_max_client_connections 10000`,
		`pgbouncer_stats_totals_queries_pooled_total{database="orders"} 2`,
		`pgbouncer_databases_pool_size{`, `pgbouncer_databases_paused{`, `pgbouncer_databases_disabled{`,
		`pgbouncer_databases_current_connections{`, `pgbouncer_used_clients 2`, `pgbouncer_databases 3`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in what it exports", want)
		}
	}
	if t.Failed() {
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, "pgbouncer") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", freePort(t))
}
