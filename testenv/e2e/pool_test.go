package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// W55: one client too many that pins a server gets an error in the server's place, rolled back with
// its transaction, and lives on.
func TestW55TooManyPinsAreRefused(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Pool: transactions(3, "max_pinned = 1")})
	ctx := context.Background()
	alice := w.Client("alice")
	first, second := b.Connect(t, alice, "alice", "orders"), b.Connect(t, alice, "alice", "orders")
	if _, err := first.Exec(ctx, "listen news"); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Exec(ctx, "listen news"); SQLState(err) != "53300" {
		t.Errorf("simple: %v, want SQLSTATE 53300", err)
	}
	if _, err := second.Exec(ctx, "create temp table x as select $1::int", 1); SQLState(err) != "53300" {
		t.Errorf("extended: %v, want SQLSTATE 53300", err)
	}
	tx, err := second.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "select pg_advisory_lock(9)"); SQLState(err) != "53300" {
		t.Errorf("in a block: %v, want SQLSTATE 53300", err)
	}
	if _, err := tx.Exec(ctx, "select 1"); SQLState(err) != "25P02" {
		t.Errorf("W24: after the refusal the transaction is not failed: %v", err)
	}
	tx.Rollback(ctx)
	if n := one[int](t, second, "select 3"); n != 3 {
		t.Error("the session did not survive")
	}
	if _, err := first.Exec(ctx, "unlisten *"); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Exec(ctx, "listen news"); err != nil {
		t.Errorf("after the first pin ended: %v", err)
	}
	first.Close(ctx)
	second.Close(ctx)
	Poll(t, "the pin of a client that left to end", func() bool {
		c := b.Connect(t, alice, "alice", "orders")
		defer c.Close(ctx)
		_, err := c.Exec(ctx, "listen news")
		return err == nil
	})
}

// W95: a role that was disabled at PostgreSQL is noticed before its pooled connections serve a new
// session.
func TestW95DisabledRoleIsNoticed(t *testing.T) {
	w := Shared(t)
	for _, pool := range []string{`login_check = "0s"`, transactions(2, `login_check = "0s"`)} {
		b := w.Start(t, Options{Rules: people, Pool: pool})
		limited := w.Client("limited")
		one[int](t, b.Connect(t, limited, "limited", "orders"), "select 1")
		c := b.Connect(t, limited, "limited", "orders")
		one[int](t, c, "select 1")
		c.Close(context.Background())
		for _, tt := range []struct{ take, give, code string }{
			{"alter role limited nologin", "alter role limited login", "28000"},
			{"revoke connect on database orders from public", "grant connect on database orders to public", "42501"},
		} {
			w.Exec(t, "postgres", tt.take)
			_, err := b.TryConnect(limited, "limited", "orders")
			w.Exec(t, "postgres", tt.give)
			if SQLState(err) != tt.code {
				t.Errorf("%s, %s: %v, want SQLSTATE %s", pool, tt.take, err, tt.code)
			}
			Poll(t, "the role to be served again", func() bool {
				c, err := b.TryConnect(limited, "limited", "orders")
				if err == nil {
					c.Close(context.Background())
				}
				return err == nil
			})
		}
	}
}

// W54: what ALTER ROLE … SET changes holds for the next session of the pool.
func TestW54RoleDefaultsRetireThePool(t *testing.T) {
	w := Shared(t)
	for _, pool := range []string{"", transactions(2)} {
		b := w.Start(t, Options{Rules: people, Pool: pool})
		boss := b.Connect(t, w.Client("boss"), "boss", "orders")
		alice := w.Client("alice")
		c := b.Connect(t, alice, "alice", "orders")
		one[int](t, c, "select 1")
		c.Close(context.Background())
		if _, err := boss.Exec(context.Background(), "alter role alice set work_mem = '5432kB'"); err != nil {
			t.Fatal(err)
		}
		Poll(t, "the new default", func() bool {
			c := b.Connect(t, alice, "alice", "orders")
			defer c.Close(context.Background())
			return one[string](t, c, "show work_mem") == "5432kB"
		})
		w.Exec(t, "postgres", "alter role alice reset all")
	}
}

// W63, A109: replication only where the map says so; then pg_basebackup works, and its server
// connection serves nobody else.
func TestA109Replication(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people + `
map "backup" {
  match { o = "Backup" }
  role        = "boss"
  databases   = ["orders"]
  replication = true
}
`, Pool: transactions(2)})
	for _, value := range []string{"true", "database", "1", "on", "yes"} {
		_, err := b.TryConnect(w.Client("boss"), "boss", "orders", func(cfg *pgx.ConnConfig) { cfg.RuntimeParams["replication"] = value })
		if SQLState(err) != "28000" {
			t.Errorf("replication=%s without a grant: %v, want SQLSTATE 28000", value, err)
		}
	}
	leaf := w.issue(t, w.Clients, shapeO("Backup"))
	dir := filepath.Join(t.TempDir(), "base")
	path, err := exec.LookPath(w.PG.Install.Bin + "/pg_basebackup")
	if err != nil {
		t.Skipf("pg_basebackup is not part of %s", w.PG.Install)
	}
	cmd := exec.Command(path, "-D", dir, "-X", "stream", "-c", "fast", "-d", b.DSN(leaf, "boss", "orders"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "PG_VERSION")); err != nil {
		t.Error(err)
	}
	c, err := b.TryConnect(leaf, "boss", "orders", func(cfg *pgx.ConnConfig) {
		cfg.RuntimeParams["replication"] = "database"
		cfg.RuntimeParams["application_name"] = "walsender"
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	rows, err := c.PgConn().Exec(context.Background(), "IDENTIFY_SYSTEM").ReadAll()
	if err != nil || len(rows) != 1 {
		t.Errorf("IDENTIFY_SYSTEM: %v", err)
	}
	if out, err := c.PgConn().Exec(context.Background(), "show application_name").ReadAll(); err != nil || !strings.Contains(string(out[0].Rows[0][0]), "walsender") {
		t.Errorf("application_name of the walsender: %v %v", out, err)
	}
}
