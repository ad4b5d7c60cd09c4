package e2e

import (
	"context"
	"maps"
	"testing"

	"github.com/jackc/pgx/v5"
)

// told are the parameters that servers report, as the client was told them at login.
func told(c *pgx.Conn) map[string]string {
	all := make(map[string]string)
	for _, name := range []string{
		"application_name", "client_encoding", "DateStyle", "default_transaction_read_only", "in_hot_standby",
		"integer_datetimes", "IntervalStyle", "is_superuser", "scram_iterations", "search_path", "server_encoding",
		"server_version", "session_authorization", "standard_conforming_strings", "TimeZone",
	} {
		all[name] = c.PgConn().ParameterStatus(name)
	}
	return all
}

// withParams has a client ask for settings at start-up.
func withParams(params map[string]string) func(*pgx.ConnConfig) {
	return func(c *pgx.ConnConfig) { maps.Copy(c.RuntimeParams, params) }
}

// untilServed does again what a pool with a short wait_timeout has refused: a machine may stand still for as long.
func untilServed(t *testing.T, do func() error) {
	t.Helper()
	Poll(t, "a server connection", func() bool {
		err := do()
		if err != nil && SQLState(err) != "53300" {
			t.Fatal(err)
		}
		return err == nil
	})
}

// W15: in transaction mode a login whose answer is known waits for no server connection, and its client
// is told what a login of PostgreSQL's own is told; one that asks for something new, or to which the
// pool has lost its word, does wait.
func TestW15KnownLoginWaitsForNobody(t *testing.T) {
	onEach(t, expectW15KnownLoginWaitsForNobody)
}

func expectW15KnownLoginWaitsForNobody(t *testing.T, w *World) {
	b := w.Start(t, Options{Rules: people, Pool: transactions(1, `wait_timeout = "1s"`)})
	ctx, alice := context.Background(), w.Client("alice")
	set := map[string]string{"DateStyle": "German", "timezone": "asia/tokyo", "application_name": "fä", "work_mem": "5MB"}
	connect := func(params map[string]string) (*pgx.Conn, error) {
		c, err := b.TryConnect(alice, "alice", "orders", withParams(params))
		if err == nil {
			t.Cleanup(func() { c.Close(ctx) })
		}
		return c, err
	}
	var first *pgx.Conn
	var tx pgx.Tx
	untilServed(t, func() (err error) { first, err = connect(set); return err })
	untilServed(t, func() (err error) { tx, err = first.Begin(ctx); return err })

	second, err := connect(set)
	if err != nil {
		t.Fatalf("a known login, every server connection in use: %v", err)
	}
	if got, want := told(second), told(first); !maps.Equal(got, want) {
		t.Errorf("a known login is told %v, want %v", got, want)
	}
	if got := told(second); got["DateStyle"] != "German, DMY" || got["TimeZone"] != "Asia/Tokyo" || got["server_version"] == "" {
		t.Errorf("told %v", got)
	}
	if _, err := second.Exec(ctx, "select 1"); SQLState(err) != "53300" {
		t.Errorf("its first query: %v, want SQLSTATE 53300: it waits as any does", err)
	}
	if _, err := connect(map[string]string{"work_mem": "6MB"}); SQLState(err) != "53300" {
		t.Errorf("settings that are new: %v, want SQLSTATE 53300", err)
	}
	opens := b.Records("session.open", 2)
	if addr, name := dig(opens[1], "upstream.addr"), dig(opens[1], "upstream.name"); addr != nil || name == nil {
		t.Errorf("the record of a login without a server connection has %v", opens[1]["upstream"])
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}

	var got string
	untilServed(t, func() error {
		return second.QueryRow(ctx, "select concat_ws(' ', current_setting('work_mem'), current_setting('datestyle'), current_setting('timezone'))", pgx.QueryExecModeExec).Scan(&got)
	})
	if got != "5MB German, DMY Asia/Tokyo" {
		t.Errorf("its settings are %q", got)
	}
	untilServed(t, func() error {
		_, err := connect(map[string]string{"work_mem": "much"})
		if err == nil {
			t.Error("a bad value is taken")
		}
		if SQLState(err) == "22023" {
			return nil
		}
		return err
	})
	if _, err := b.TryConnect(alice, "alice", "nowhere"); SQLState(err) != "28000" {
		t.Errorf("a database that is not granted: %v, want SQLSTATE 28000", err)
	}
}

// A known login is known as long as the pool has connections: after RECONNECT, and with PostgreSQL
// gone, a login says how it is.
func TestKnownLoginIsForgotten(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{Pool: transactions(1, `wait_timeout = "1s"`)})
	ctx, alice := context.Background(), w.Client("alice")
	var holder *pgx.Conn
	login := func() (err error) { holder, err = b.TryConnect(alice, "alice", "orders"); return err }
	untilServed(t, login)
	t.Cleanup(func() { holder.Close(ctx) })
	hold := func() (tx pgx.Tx) {
		untilServed(t, func() (err error) { tx, err = holder.Begin(ctx); return err })
		return tx
	}
	console := b.Console(t)
	for _, command := range []string{"RECONNECT", "PAUSE orders"} {
		tx := hold()
		b.Connect(t, alice, "alice", "orders").Close(ctx)
		done := make(chan error, 1)
		go func() {
			_, err := console.Exec(ctx, command)
			done <- err
		}()
		Poll(t, command+" to be felt by a login", func() bool {
			c, err := b.TryConnect(alice, "alice", "orders")
			if err == nil {
				c.Close(ctx)
				return false
			}
			if SQLState(err) != "53300" {
				t.Fatalf("%s: %v, want SQLSTATE 53300", command, err)
			}
			return true
		})
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	if _, err := console.Exec(ctx, "RESUME orders"); err != nil {
		t.Fatal(err)
	}
	holder.Close(ctx)
	untilServed(t, login)
}

// W95: a session that was let in while every server connection was in use is asked for when it gets
// its first, also when it has given up waiting for one before.
func TestW95KnownLoginIsProvenLater(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Pool: transactions(1, `login_check = "0s"`)})
	ctx, limited := context.Background(), w.Client("limited")
	holder := b.Connect(t, limited, "limited", "orders")
	tx, err := holder.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w.Exec(t, "postgres", "alter role limited nologin")
	defer w.Exec(t, "postgres", "alter role limited login")
	late := b.Connect(t, limited, "limited", "orders")
	done := make(chan error, 1)
	go func() {
		_, err := late.Exec(ctx, "select 1")
		done <- err
	}()
	Poll(t, "a wait that a cancel request ends", func() bool {
		_ = late.PgConn().CancelRequest(ctx)
		select {
		case err := <-done:
			if SQLState(err) != "57014" {
				t.Fatalf("cancelled in the queue: %v, want SQLSTATE 57014", err)
			}
			return true
		default:
			return false
		}
	})
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Exec(ctx, "select 1"); SQLState(err) != "28000" {
		t.Errorf("the first query of a role that may not log in: %v, want SQLSTATE 28000", err)
	}
}

// A default that has changed at PostgreSQL is what later logins are told.
func TestKnownLoginFollowsTheServer(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Pool: transactions(2)})
	ctx, alice := context.Background(), w.Client("alice")
	b.Connect(t, alice, "alice", "orders").Close(ctx)
	boss := b.Connect(t, w.Client("boss"), "boss", "orders")
	defer w.Exec(t, "postgres", "alter role alice reset all")
	if _, err := boss.Exec(ctx, "alter role alice set timezone = 'Asia/Tokyo'"); err != nil {
		t.Fatal(err)
	}
	Poll(t, "a login to be told the role's new default", func() bool {
		c := b.Connect(t, alice, "alice", "orders")
		defer c.Close(ctx)
		return c.PgConn().ParameterStatus("TimeZone") == "Asia/Tokyo"
	})
}
