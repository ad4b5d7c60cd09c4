package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// admins are maps for the console beside people.
const admins = people + `
map "operators" {
  match { ou = "Operators" }
  admin = "operator"
}
map "viewers" {
  match { ou = "Viewers" }
  admin = "viewer"
}
`

// startConsole starts a broker with the console on its listener and on a socket.
func (w *World) startConsole(t *testing.T, o Options) *Broker {
	t.Helper()
	if o.Rules == "" {
		o.Rules = admins
	}
	o.Listener += "\nadmin = true\n"
	o.Admin += fmt.Sprintf("\naddress = \"\"\nsocket = %q\nlocks_file = \"locks.json\"\n", socketPath(t))
	return w.Start(t, o)
}

// socketPath is a short path in a folder of its own, mode 0700.
func socketPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "pgs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "admin.sock")
}

func (w *World) admin(t *testing.T, ou string) *pki.Leaf {
	return w.issue(t, w.Clients, pki.Shape{CN: "Admin", OU: []string{ou}})
}

// Console logs in to the console as an operator.
func (b *Broker) Console(t *testing.T) *pgx.Conn {
	t.Helper()
	return b.Connect(t, b.World.admin(t, "Operators"), "root", "pgsignet")
}

// run executes a command and returns its tag.
func run(t *testing.T, c *pgx.Conn, sql string) string {
	t.Helper()
	tag, err := c.Exec(context.Background(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return tag.String()
}

// show returns the rows of a SHOW as maps from column to value.
func show(t *testing.T, c *pgx.Conn, what string, options ...any) []map[string]any {
	t.Helper()
	rows, err := c.Query(context.Background(), "SHOW "+what, options...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		t.Fatalf("SHOW %s: %v", what, err)
	}
	return list
}

// Simple and extended protocol, text and binary, give the same values.
func TestConsoleValues(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{})
	c := b.Console(t)
	ctx := context.Background()
	leaf := w.Client("alice")
	alice := b.Connect(t, leaf, "alice", "orders")
	for range 5 {
		if _, err := alice.Exec(ctx, "select 1"); err != nil {
			t.Fatal(err)
		}
	}
	pid := one[int](t, alice, "select pg_backend_pid()")
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeDescribeExec} {
		sessions := show(t, c, "SESSIONS", mode)
		i := slices.IndexFunc(sessions, func(r map[string]any) bool { return r["role"] == "alice" })
		if i < 0 {
			t.Fatalf("%v: no session of alice in %v", mode, sessions)
		}
		s := sessions[i]
		if s["server_pid"] != int32(pid) || s["map"] != "people" || s["cert_sha256"] != leaf.SHA256() || s["statements"].(int64) < 6 {
			t.Errorf("%v: session %v", mode, s)
		}
		if _, err := time.Parse("2006-01-02 15:04:05 UTC", s["connect_time"].(string)); err != nil {
			t.Errorf("%v: %v", mode, err)
		}
		for _, p := range show(t, c, "POOLS", mode) {
			if p["database"] == "orders" && (p["user"] != "alice" || p["cl_active"] != int32(1) || p["sv_active"] != int32(1) || p["pool_mode"] != "session" || p["load_balance_hosts"] != nil) {
				t.Errorf("%v: pool %v", mode, p)
			}
		}
		for _, s := range show(t, c, "STATS_TOTALS", mode) {
			n, err := s["query_count"].(pgtype.Numeric).Int64Value()
			if s["database"] == "orders" && (err != nil || n.Int64 < 6) {
				t.Errorf("%v: %v queries, %v", mode, n, err)
			}
		}
		for _, m := range show(t, c, "MAPS", mode) {
			if m["name"] == "people" && (m["sessions"] != int32(1) || m["granted"] != int64(1) || m["position"] != int32(1)) {
				t.Errorf("%v: map %v", mode, m)
			}
		}
	}
	if got := show(t, c, "VERSION")[0]["version"]; got != "PgBouncer 1.25.2" {
		t.Errorf("version %q", got)
	}
}

// Errors: PgBouncer's texts with real codes; the session lives on, and extended errors skip to Sync.
func TestConsoleErrors(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{})
	ctx := context.Background()
	operator, viewer := b.Console(t), b.Connect(t, w.admin(t, "Viewers"), "eve", "pgbouncer")
	for _, tt := range []struct {
		conn            *pgx.Conn
		sql, code, text string
	}{
		{operator, "frobnicate", "42601", "invalid command 'frobnicate', use SHOW HELP;"},
		{operator, "SHOW nothing", "42601", "invalid command 'SHOW nothing', use SHOW HELP;"},
		{operator, "SHOW FDS", "0A000", ""},
		{operator, "PAUSE nowhere", "3D000", "no such database: nowhere"},
		{operator, "RESUME", "55000", "pooler is not paused/suspended"},
		{operator, "PAUSE pgsignet", "55000", "cannot pause admin db: pgsignet"},
		{operator, "KILL pgbouncer", "55000", "cannot kill admin db: pgbouncer"},
		{operator, "DISABLE", "42601", "a database is required"},
		{operator, "SUSPEND", "0A000", ""},
		{operator, "SET shutdown.drain_timeout = '1s'", "0A000", ""},
		{operator, "KILL_CLIENT 4711", "42704", ""},
		{operator, "UNLOCK CERT DN 'CN=x'", "42704", ""},
		{operator, "LOCK CERT SHA256 'xyz'", "22023", ""},
		{operator, "LOCK CERT SPIFFE 'prod.example/ns/billing'", "22023", "SPIFFE must be an ID such as spiffe://prod.example/ns/billing/sa/api"},
		{operator, "LOCK CERT DN 'Alice Liddell'", "22023", ""},
		{viewer, "PAUSE", "42501", "admin access needed"},
		{viewer, "RESUME orders", "42501", "admin access needed"},
		{viewer, "KILL_CLIENT 1", "42501", "admin access needed"}, // CVE-2026-6667
		{viewer, "KILL SESSION 'x'", "42501", "admin access needed"},
		{viewer, "KILL CERT DN 'CN=x'", "42501", "admin access needed"},
		{viewer, "LOCK CERT DN 'CN=x'", "42501", "admin access needed"},
		{viewer, "UNLOCK CERT DN 'CN=x'", "42501", "admin access needed"},
		{viewer, "RELOAD", "42501", "admin access needed"},
		{viewer, "SHUTDOWN", "42501", "admin access needed"},
		{viewer, "DISABLE orders", "42501", "admin access needed"},
		{viewer, "ENABLE orders", "42501", "admin access needed"},
		{viewer, "RECONNECT", "42501", "admin access needed"},
		{viewer, "WAIT_CLOSE", "42501", "admin access needed"},
		{viewer, "KILL", "42501", "admin access needed"},
	} {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeDescribeExec} {
			_, err := tt.conn.Exec(ctx, tt.sql, mode)
			if SQLState(err) != tt.code || tt.text != "" && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%s, %v: %v, want SQLSTATE %s %s", tt.sql, mode, err, tt.code, tt.text)
			}
		}
	}
	for _, tt := range []struct{ sql, tag string }{
		{"begin", "BEGIN"}, {"COMMIT;", "COMMIT"}, {"rollback", "ROLLBACK"}, {"set extra_float_digits = 3", "SET"},
		{"SHOW HELP", "SHOW"}, {"select version", "SHOW"}, {"show stats", "SHOW"}, {"", ""}, {"RECONNECT orders", "RECONNECT"},
		{"DISABLE stock", "DISABLE"}, {"ENABLE \"stock\"", "ENABLE"}, {"WAIT_CLOSE", "WAIT_CLOSE"},
	} {
		if got := run(t, operator, tt.sql); got != tt.tag {
			t.Errorf("%s: tag %q, want %q", tt.sql, got, tt.tag)
		}
	}
	if err := viewer.QueryRow(ctx, "SHOW default_transaction_isolation").Scan(new(string)); err != nil {
		t.Error(err)
	}
}

// A117: who may not come to the console at all.
func TestA117ConsoleDoor(t *testing.T) {
	w := Shared(t)
	closed := w.Start(t, Options{Rules: admins})
	if _, err := closed.TryConnect(w.admin(t, "Operators"), "root", "pgsignet"); SQLState(err) != "28000" {
		t.Errorf("listener without admin: %v", err)
	}
	b := w.startConsole(t, Options{})
	for _, tt := range []struct {
		name     string
		leaf     *pki.Leaf
		database string
	}{
		{"no certificate", nil, "pgsignet"},
		{"data-plane certificate", w.Client("alice"), "pgsignet"},
		{"data-plane certificate, alias", w.Client("alice"), "pgbouncer"},
		{"operator at a database", w.admin(t, "Operators"), "orders"},
		{"other CA", w.issue(t, w.Servers, pki.Shape{CN: "Admin", OU: []string{"Operators"}}), "pgsignet"},
	} {
		if _, err := b.TryConnect(tt.leaf, "alice", tt.database); SQLState(err) != "28000" {
			t.Errorf("%s: %v, want SQLSTATE 28000", tt.name, err)
		}
	}
}

func TestConsolePauseResumeKill(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{Pool: transactions(2)})
	ctx := context.Background()
	c := b.Console(t)
	alice := b.Connect(t, w.Client("alice"), "alice", "orders")
	first := one[int](t, alice, "select pg_backend_pid()")
	if got := run(t, c, "PAUSE orders"); got != "PAUSE" {
		t.Errorf("tag %q", got)
	}
	for _, p := range show(t, c, "POOLS") {
		if p["database"] == "orders" && (p["sv_idle"] != int32(0) || p["sv_active"] != int32(0)) {
			t.Errorf("paused, with server connections: %v", p)
		}
	}
	Poll(t, "PostgreSQL to notice that the server connections are closed", func() bool { return w.Backends(t, "alice") == 0 })
	for _, d := range show(t, c, "DATABASES") {
		if want := int32(map[bool]int{true: 1}[d["name"] == "orders"]); d["paused"] != want {
			t.Errorf("database %v: paused %v, want %d", d["name"], d["paused"], want)
		}
	}
	got := make(chan int, 1)
	go func() {
		var pid int
		alice.QueryRow(ctx, "select pg_backend_pid()").Scan(&pid)
		got <- pid
	}()
	Poll(t, "the client to wait", func() bool {
		return slices.ContainsFunc(show(t, c, "CLIENTS"), func(r map[string]any) bool { return r["user"] == "alice" && r["state"] == "waiting" })
	})
	run(t, c, "RESUME orders")
	if second := <-got; second == first || second == 0 {
		t.Errorf("after RESUME: server %d, before %d", second, first)
	}
	// PAUSE waits for a transaction, and resumes when it is cancelled.
	tx, err := alice.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "select 1"); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(ctx)
	paused := make(chan error, 1)
	go func() {
		_, err := c.PgConn().Exec(ctx, "PAUSE orders").ReadAll()
		paused <- err
	}()
	other := b.Console(t)
	Poll(t, "PAUSE to begin", func() bool {
		return slices.ContainsFunc(show(t, other, "DATABASES"), func(r map[string]any) bool { return r["paused"] == int32(1) })
	})
	if err := c.PgConn().CancelRequest(short); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-paused; SQLState(err) != "57014" {
		t.Errorf("cancelled PAUSE: %v", err)
	}
	tx.Rollback(ctx)
	if n := one[int](t, alice, "select 7"); n != 7 {
		t.Error("not resumed")
	}
	// KILL ends the clients and leaves the database paused.
	run(t, other, "KILL orders")
	if _, err := alice.Exec(ctx, "select 1"); SQLState(err) != "57P01" {
		t.Errorf("killed: %v", err)
	}
	b.ended(t, "killed", 1)
	run(t, other, "RESUME orders")
	b.Connect(t, w.Client("alice"), "alice", "orders")
}

// ended waits for n sessions to be recorded as ended for a reason.
func (b *Broker) ended(t *testing.T, reason string, n int) {
	t.Helper()
	Poll(t, fmt.Sprintf("%d sessions ended as %s", n, reason), func() bool {
		found := 0
		for _, r := range b.readRecords("session.close") {
			if r["end"].(map[string]any)["reason"] == reason {
				found++
			}
		}
		return found == n
	})
}

func TestConsoleDisable(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{})
	c := b.Console(t)
	alice := b.Connect(t, w.Client("alice"), "alice", "orders")
	run(t, c, "DISABLE orders")
	if _, err := b.TryConnect(w.Client("alice"), "alice", "orders"); SQLState(err) != "57P03" {
		t.Errorf("disabled: %v", err)
	}
	if n := one[int](t, alice, "select 1"); n != 1 {
		t.Error("an open session was hurt")
	}
	run(t, c, "ENABLE orders")
	b.Connect(t, w.Client("alice"), "alice", "orders")
}

func TestConsoleKillOne(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{})
	ctx := context.Background()
	c := b.Console(t)
	find := func(role string) map[string]any {
		sessions := show(t, c, "SESSIONS")
		return sessions[slices.IndexFunc(sessions, func(r map[string]any) bool { return r["role"] == role })]
	}
	leaf := w.Client("alice")
	alice, bob := b.Connect(t, leaf, "alice", "orders"), b.Connect(t, w.Client("bob"), "bob", "orders")
	if got := run(t, c, fmt.Sprintf("KILL SESSION '%s'", find("alice")["sid"])); got != "KILL 1" {
		t.Errorf("tag %q", got)
	}
	if _, err := alice.Exec(ctx, "select 1"); SQLState(err) != "57P01" {
		t.Errorf("alice: %v", err)
	}
	if n := one[int](t, bob, "select 1"); n != 1 {
		t.Error("bob was hurt")
	}
	if got := run(t, c, fmt.Sprintf("KILL_CLIENT %d", find("bob")["id"])); got != "KILL_CLIENT" {
		t.Errorf("tag %q", got)
	}
	if _, err := bob.Exec(ctx, "select 1"); SQLState(err) != "57P01" {
		t.Errorf("bob: %v", err)
	}
	b.Connect(t, leaf, "alice", "orders")
	if got := run(t, c, "KILL CERT SHA256 '"+strings.ToUpper(leaf.SHA256())+"'"); got != "KILL 1" {
		t.Errorf("tag %q", got)
	}
	b.ended(t, "killed", 3)
	b.Connect(t, w.Client("alice"), "alice", "orders") // killed is not locked
	actions := b.Records("admin.action", 3)
	if a := actions[0]["action"].(map[string]any); a["via"] != "console" || a["verb"] != "KILL SESSION" || a["result"] != "ok" || actions[0]["map"] != "operators" || actions[0]["cert_sha256"] == nil {
		t.Errorf("recorded %v", actions[0])
	}
}
