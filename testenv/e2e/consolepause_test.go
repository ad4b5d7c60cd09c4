package e2e

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
)

// hold leaves a transaction of alice open, so that a PAUSE has something to wait for.
func (b *Broker) hold(t *testing.T) pgx.Tx {
	t.Helper()
	ctx := context.Background()
	tx, err := b.Connect(t, b.World.Client("alice"), "alice", "orders").Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "select 1"); err != nil {
		t.Fatal(err)
	}
	return tx
}

// pollPaused waits until PAUSE is in force at database orders, or is not.
func pollPaused(t *testing.T, c *pgx.Conn, want int32) {
	t.Helper()
	Poll(t, "PAUSE to begin or end", func() bool {
		return slices.ContainsFunc(show(t, c, "DATABASES"), func(r map[string]any) bool { return r["name"] == "orders" && r["paused"] == want })
	})
}

// A PAUSE waits for a transaction. When somebody else resumes it is over, and says so; when the one who
// asked goes away without a word, the database is resumed, as by a cancel request: nobody would know that
// it is paused.
func TestConsolePauseEnds(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{Pool: transactions(2)})
	ctx := context.Background()
	tx, other := b.hold(t), b.Console(t)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
		for _, sql := range []string{"PAUSE", "PAUSE orders"} {
			c, done := b.Console(t), make(chan error, 1)
			go func() {
				_, err := c.Exec(ctx, sql, mode)
				done <- err
			}()
			pollPaused(t, other, 1)
			run(t, other, "RESUME")
			if err := <-done; SQLState(err) != "55000" {
				t.Errorf("%s, %v: after RESUME: %v, want SQLSTATE 55000", sql, mode, err)
			}
			if got := show(t, c, "STATE", mode)[0]["value"]; got != "yes" { // the connection is good
				t.Errorf("%s, %v: then active is %v", sql, mode, got)
			}
			go func() {
				_, err := c.Exec(ctx, sql, mode)
				done <- err
			}()
			pollPaused(t, other, 1)
			c.PgConn().Conn().Close()
			<-done
			pollPaused(t, other, 0)
		}
	}
	Poll(t, "the consoles to be gone", func() bool {
		return len(show(t, other, "CLIENTS")) == 2
	})
	if err := tx.Commit(ctx); err != nil {
		t.Error(err)
	}
	run(t, other, "PAUSE")
	run(t, other, "RESUME")
}
