package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestA113Spelled: what a client leaves in words that hide it, or takes back in words that do not, is not there
// for the next client of the pool (W52).
func TestA113Spelled(t *testing.T) {
	t.Parallel()
	onEach(t, expectA113Spelled)
}

func expectA113Spelled(t *testing.T, w *World) {
	ctx := context.Background()
	b := w.Start(t, Options{Rules: strings.Replace(people, "role ", "pool_mode = \"transaction\"\n  role ", 1), Pool: "size = 1\n reset = \"smart\""})
	const left = `select concat_ws(' ',
		(select 'temp' from pg_class where relname = 'leak' and relpersistence = 't' and pg_table_is_visible(oid)),
		(select 'lock' from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
		(select 'listen' from pg_listening_channels()),
		(select 'cursor' from pg_cursors where is_holdable),
		(select 'setting' where current_setting('app.leak', true) <> '' or current_setting('app.É', true) <> ''),
		(select name from unnest(array['pgsignet.token', 'pgsignet.identity', 'pgsignet.map']) as name where current_setting(name, true) <> ''))`
	type query struct {
		sql  string
		args []any
	}
	simple := func(texts ...string) (list []query) {
		for _, sql := range texts {
			list = append(list, query{sql, []any{pgx.QueryExecModeSimpleProtocol}})
		}
		return list
	}
	for _, tt := range []struct {
		name    string
		startup map[string]string
		queries []query
	}{
		{"is_local is a column", nil, simple("select set_config('app.leak', 'x', t) from (select false) as v(t)")},
		{"a path that is put together", nil, simple("begin", "select set_config('search_path', 'pg_' || 'temp', true)", "create table leak (x int)", "commit")},
		{"a path in one text", nil, simple("select set_config('search_path', 'pg_' || 'temp', true); create table leak (x int)")},
		{"a path as a parameter", nil, append([]query{{"select set_config('search_path', $1, false)", []any{"pg_temp"}}}, simple("create table leak (x int)", "reset all")...)},
		{"the name as a parameter", nil, append(append(simple("begin"), query{"select set_config($1, $2, true)", []any{"search_path", "pg_temp"}}), simple("select 1 as x into leak", "commit")...)},
		{"a path that outlives its pin", nil, simple("set search_path = 'pg_temp'", "discard temp", "create table leak (x int)", "reset all")},
		{"a path of the start-up", map[string]string{"search_path": "PG_temp, public"}, simple("create table leak (x int)")},
		{"a path among the options", map[string]string{"options": "-c search_path=pg_temp"}, simple("create table leak (x int)")},
		{"a column named insert", nil, simple("select insert into temp leak from (select 1 as insert) as v")},
		{"UESCAPE in two parts", nil, simple("select U&\"pg_advisory!005flock\" uescape '!'\n''(7)")},
		{"UESCAPE in E''", nil, simple(`select U&"pg_advisory!005flock" uescape E'\x21' (7)`)},
		{"a letter that is folded elsewhere", nil, simple("set U&\"app.!00c9\" uescape '!' = 'x'")},
		{"a RESET ALL that a savepoint takes back", nil, simple("begin", "set app.leak = 'x'", "commit", "begin; savepoint a; reset all; rollback to a; commit")},
		{"a DISCARD TEMP that a savepoint takes back", nil, simple("create temp table leak (x int)", "begin; savepoint a; discard temp; rollback to savepoint a; commit")},
		{"an UNLISTEN that a savepoint takes back", nil, simple("listen leak", "begin; savepoint a; unlisten *; rollback work to a; commit")},
		{"the same in steps", nil, simple("listen leak", "begin", "savepoint a", "unlisten *", "rollback to a", "commit")},
		{"a CLOSE ALL in a block", nil, simple("declare leak cursor with hold for select 1", "begin; savepoint a; close all; rollback to a; commit")},
		{"a token", nil, simple("set pgsignet.token = 'x'")},
		{"a label", nil, simple("set pgsignet.map = 'x'")},
		{"the same at the start", map[string]string{"app.É": "x"}, simple("select 1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := b.TryConnect(w.Client("alice"), "alice", "orders", func(cfg *pgx.ConnConfig) {
				for name, value := range tt.startup {
					cfg.RuntimeParams[name] = value
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close(ctx)
			for _, q := range tt.queries {
				if _, err := a.Exec(ctx, q.sql, q.args...); err != nil {
					t.Fatalf("%s: %v", q.sql, err)
				}
			}
			if err := a.Close(ctx); err != nil {
				t.Fatal(err)
			}
			next := b.Connect(t, w.Client("alice"), "alice", "orders")
			defer next.Close(ctx)
			if found := one[string](t, next, left); found != "" {
				t.Errorf("the next client finds: %s", found)
			}
			if _, err := next.Exec(ctx, "discard all"); err != nil { // for the cases that follow
				t.Error(err)
			}
		})
	}
}

// TestW39StatementsThatAnotherHasDeallocated: what one client says of DEALLOCATE, in whatever words and whatever
// becomes of them, fails nobody else's prepared statements on the connection that they share.
func TestW39StatementsThatAnotherHasDeallocated(t *testing.T) {
	t.Parallel()
	onEach(t, expectW39StatementsThatAnotherHasDeallocated)
}

func expectW39StatementsThatAnotherHasDeallocated(t *testing.T, w *World) {
	ctx := context.Background()
	b := w.Start(t, Options{Rules: people, Pool: transactions(1)})
	one, other := b.Connect(t, w.Client("alice"), "alice", "orders"), b.Connect(t, w.Client("alice"), "alice", "orders")
	if _, err := other.Prepare(ctx, "p", "select 42"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"deallocate all", "begin; deallocate all; rollback", "begin; savepoint a; deallocate all; rollback to a; commit",
		`select 'a\'; deallocate all; --'`, "deallocate all; select 1 as atomic",
	} {
		if _, err := other.Exec(ctx, "p"); err != nil {
			t.Fatalf("before %q: %v", text, err)
		}
		if _, err := one.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if _, err := other.Exec(ctx, "p"); err != nil {
			t.Errorf("another's prepared statement behind %q: %v", text, err)
		}
	}
}
