package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestW33LocalSettings: a statement that one client prepares under settings of its transaction, which decide how
// its literals are read, is not the statement of another client that prepares the same text (W33, W46).
func TestW33LocalSettings(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	ctx := context.Background()
	b := w.Start(t, Options{Rules: strings.Replace(people, "role ", "pool_mode = \"transaction\"\n  role ", 1), Pool: "size = 1"})
	const base = "select '01/02/2024'::date::text || "
	read := func(t *testing.T, q interface {
		QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	}, name string) (got string) {
		t.Helper()
		if err := q.QueryRow(ctx, name).Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	for name, set := range map[string][]string{
		"SET LOCAL":            {"set local datestyle = 'SQL, DMY'"},
		"set_config, local":    {"select set_config('datestyle', 'SQL, DMY', true)"},
		"SET in a block":       {"set datestyle = 'SQL, DMY'", "set datestyle = 'ISO, MDY'"},
		"SET among statements": {"select 1; set datestyle = 'SQL, DMY'"},
	} {
		t.Run(name, func(t *testing.T) {
			text := base + "'" + strings.ReplaceAll(name, "'", "") + "'"
			a := b.Connect(t, w.Client("alice"), "alice", "orders")
			tx, err := a.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for i, sql := range set {
				if _, err := tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					if _, err := tx.Prepare(ctx, "p", text); err != nil {
						t.Fatal(err)
					}
				}
			}
			read(t, tx, "p")
			if err := tx.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Exec(ctx, "reset all", pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
			next := b.Connect(t, w.Client("alice"), "alice", "orders")
			defer next.Close(ctx)
			if _, err := next.Prepare(ctx, "q", text); err != nil {
				t.Fatal(err)
			}
			if got := read(t, next, "q"); !strings.HasPrefix(got, "2024-01-02") {
				t.Errorf("the next client reads 2 January 2024 as %s", got)
			}
			a.Close(ctx)
		})
	}
}
