package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// W46-W51: what a client has set holds for it on every server, and for nobody else.
func TestSettingsFollowTheirClients(t *testing.T) {
	onEach(t, expectSettingsFollowTheirClients)
}

func expectSettingsFollowTheirClients(t *testing.T, w *World) {
	b := w.Start(t, Options{Rules: people, Pool: transactions(2)})
	ctx := context.Background()
	connect := func(name string) *pgx.Conn {
		c, err := b.TryConnect(w.Client("alice"), "alice", "orders", func(cfg *pgx.ConnConfig) {
			cfg.RuntimeParams["application_name"] = name
			cfg.RuntimeParams["options"] = "-c work_mem=" + map[string]string{"a": "1111kB", "b": "2222kB"}[name]
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(ctx) })
		return c
	}
	a, other := connect("a"), connect("b")
	exec := func(c *pgx.Conn, sql string) {
		t.Helper()
		if _, err := c.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	check := func(c *pgx.Conn, want string) {
		t.Helper()
		got := one[string](t, c, `select concat_ws(' ', current_setting('application_name'), current_setting('work_mem'),
			current_setting('TimeZone'), current_setting('lock_timeout'), current_setting('search_path'))`)
		if got != want {
			t.Errorf("%s\n got  %s\n want %s", c.PgConn().ParameterStatus("application_name"), got, want)
		}
	}
	zone := one[string](t, a, "show timezone")
	path := one[string](t, a, "show search_path")
	check(a, "a 1111kB "+zone+" 0 "+path)
	check(other, "b 2222kB "+zone+" 0 "+path)
	exec(a, "set timezone = 'Asia/Tokyo'")
	exec(a, "set lock_timeout = '7s'")
	exec(a, "set search_path = 'a, b', public")
	check(other, "b 2222kB "+zone+" 0 "+path)
	check(a, `a 1111kB Asia/Tokyo 7s "a, b", public`)
	if got := a.PgConn().ParameterStatus("TimeZone") + other.PgConn().ParameterStatus("TimeZone"); got != "Asia/Tokyo"+zone {
		t.Errorf("W48: the clients were told %s", got)
	}
	exec(a, "begin; set local timezone = 'Asia/Kabul'; set work_mem = '3MB'; rollback")
	check(a, `a 1111kB Asia/Tokyo 7s "a, b", public`)
	check(other, "b 2222kB "+zone+" 0 "+path)
	exec(a, "reset all")
	check(a, "a 1111kB "+zone+" 0 "+path)
	exec(a, "set lock_timeout = '8s'")
	exec(a, "discard all")
	check(a, "a 1111kB "+zone+" 0 "+path)
	check(other, "b 2222kB "+zone+" 0 "+path)
}

// W46, W52: a SET that comes first on a connection on which somebody else's settings hold goes behind the replay of its
// client's own, and is replayed itself from then on: it pins nothing.
func TestSETBehindAReplayPinsNothing(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Pool: transactions(1)})
	ctx := context.Background()
	for _, protocol := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement} {
		x, y := b.Connect(t, w.Client("alice"), "alice", "orders"), b.Connect(t, w.Client("alice"), "alice", "orders")
		shows := func(c *pgx.Conn, want string) {
			t.Helper()
			if got := one[string](t, c, "show lock_timeout"); got != want {
				t.Errorf("%v: lock_timeout = %s, want %s", protocol, got, want)
			}
		}
		for _, value := range []string{"7s", "8s", "9s"} {
			if _, err := x.Exec(ctx, "set lock_timeout = '"+value+"'", protocol); err != nil {
				t.Fatal(err)
			}
			shows(y, "0")
			shows(x, value)
			shows(y, "0")
		}
		x.Close(ctx)
		y.Close(ctx)
	}
}

// W46: a session whose start-up settings hold on its server connection already costs no statement;
// one that asks for others gets them, and no more of the first one's.
func TestSameSettingsCostNoStatement(t *testing.T) {
	onEach(t, expectSameSettingsCostNoStatement)
}

func expectSameSettingsCostNoStatement(t *testing.T, w *World) {
	b := w.Start(t, Options{Rules: people, Pool: transactions(1)})
	login := func(app, options string) *pgx.Conn {
		t.Helper()
		c, err := b.TryConnect(w.Client("alice"), "alice", "orders", func(cfg *pgx.ConnConfig) {
			cfg.RuntimeParams["application_name"], cfg.RuntimeParams["options"] = app, options
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const mine = "select 'same settings'"
	first := login("again", "-c work_mem=1111kB")
	if got := one[string](t, first, mine); got != "same settings" {
		t.Fatal(got)
	}
	first.Close(t.Context())
	again := login("again", "-c work_mem=1111kB")
	defer again.Close(t.Context())
	c, err := w.PG.Connect(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if n := one[int](t, c, "select count(*) from pg_stat_activity where usename = 'alice' and query = '"+strings.ReplaceAll(mine, "'", "''")+"'"); n != 1 {
		t.Errorf("%d server connections have run nothing since the first session, want 1", n)
	}
	const settings = "select concat_ws(' ', current_setting('application_name'), current_setting('work_mem'), current_setting('lock_timeout'))"
	if got := one[string](t, again, settings); got != "again 1111kB 0" {
		t.Errorf("the same application reads %s", got)
	}
	other := login("other", "-c lock_timeout=3s")
	defer other.Close(t.Context())
	if got := one[string](t, other, settings); strings.Contains(got, "1111kB") || !strings.HasPrefix(got, "other ") || !strings.HasSuffix(got, " 3s") {
		t.Errorf("another application reads %s", got)
	}
}
