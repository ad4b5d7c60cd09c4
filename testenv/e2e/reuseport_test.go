package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// beside starts another node with b's configuration on b's port.
func (b *Broker) beside(t *testing.T, node string) *Broker {
	t.Helper()
	return b.World.StartConfig(t, b.besideConfig(t, node))
}

func (b *Broker) besideConfig(t *testing.T, node string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.Dir, "pgsignet.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	change := strings.NewReplacer(`node = "test"`, fmt.Sprintf("node = %q", node), `"127.0.0.1:0"`, fmt.Sprintf("%q", b.Addr))
	path := filepath.Join(b.Dir, node+".hcl")
	if err := os.WriteFile(path, []byte(change.Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Two nodes share a port and a runtime_dir: both serve, every cancel request finds its session, a lock holds
// at both and at a third that starts later, and either is upgraded without the other.
func TestReusePort(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	_, dir := runtimeDir(t)
	a := w.Start(t, Options{Rules: admins, Listener: "admin = true\nreuse_port = true", Top: dir})
	b := a.beside(t, "other")
	ctx := context.Background()
	alice := w.Client("alice")
	Poll(t, "both nodes to have served", func() bool {
		a.Connect(t, alice, "alice", "orders").Close(ctx)
		return a.Find("session closed") != nil && b.Find("session closed") != nil
	})

	// A cancel request comes to either node, whoever has the session: without forwarding half would be lost.
	var sleepers sync.WaitGroup
	ended := make(chan error, 16)
	var conns []*pgx.Conn
	for range cap(ended) {
		conn := a.Connect(t, alice, "alice", "orders")
		conns = append(conns, conn)
		sleepers.Go(func() {
			_, err := conn.Exec(ctx, "select pg_sleep(120)")
			ended <- err
		})
	}
	admin, err := w.PG.Connect(ctx, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(ctx)
	Poll(t, "the statements to run", func() bool {
		return one[int](t, admin, "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and query = 'select pg_sleep(120)'") == cap(ended)
	})
	for _, conn := range conns {
		if err := conn.PgConn().CancelRequest(ctx); err != nil {
			t.Error(err)
		}
	}
	sleepers.Wait()
	for range cap(ended) {
		if err := <-ended; SQLState(err) != "57014" {
			t.Errorf("cancelled: %v", err)
		}
	}

	console := a.Console(t) // of either
	run(t, console, "LOCK CERT DN 'CN=app'")
	console.Close(ctx)
	c := a.beside(t, "late")
	next := w.StartConfig(t, b.besideConfig(t, "other"))
	next.waitFor(t, "taken over")
	b.waitFor(t, "handed over")
	if a.Find("handed over") != nil || c.Find("handed over") != nil {
		t.Error("a node was taken over by another")
	}
	for i, node := range []*Broker{a, next, c} { // until each was the last
		for range 8 {
			if _, err := c.TryConnect(w.Client("app"), "app", "orders"); SQLState(err) != "28000" {
				t.Errorf("a lock, with %d nodes ended: %v", i, err)
			}
		}
		c.Connect(t, alice, "alice", "orders").Close(ctx)
		if node != c {
			node.Signal(syscall.SIGTERM)
			if code := node.Wait(StopLimit); code != 0 {
				t.Errorf("a node ended with status %d", code)
			}
		}
	}

	// A node whose listener does not say reuse_port is not let in.
	path := a.besideConfig(t, "alone")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "reuse_port = true", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(w.Binary(), "serve", "--config", path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "uses this runtime_dir") {
		t.Errorf("a node without reuse_port: %v\n%s", err, out)
	}
}
