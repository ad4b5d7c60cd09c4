package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

func one[T any](t *testing.T, c *pgx.Conn, sql string) T {
	t.Helper()
	var v T
	if err := c.QueryRow(context.Background(), sql, pgx.QueryExecModeExec).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func TestACertificateLogsInAsItsRole(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	c := b.Connect(t, w.Client("alice"), "alice", "orders")
	if user := one[string](t, c, "select session_user || '/' || current_user"); user != "alice/alice" {
		t.Errorf("PostgreSQL sees %q, want alice/alice", user)
	}
	if db := one[string](t, c, "select current_database()"); db != "orders" {
		t.Errorf("database %q, want orders", db)
	}
	if ssl := one[bool](t, c, "select ssl from pg_stat_ssl where pid = pg_backend_pid()"); !ssl {
		t.Error("the upstream connection is not encrypted")
	}
	if dn := one[string](t, c, "select client_dn from pg_stat_ssl where pid = pg_backend_pid()"); dn != "/CN=broker" {
		t.Errorf("upstream certificate %q, want the broker's", dn)
	}
	if pid := one[int](t, c, "select pg_backend_pid()"); int(c.PgConn().PID()) != pid {
		t.Errorf("W71: the client was told pid %d, its backend is %d", c.PgConn().PID(), pid)
	}
}

func TestEveryAccessIsRecorded(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	alice := w.Client("alice")
	c := b.Connect(t, alice, "alice", "orders")
	one[int](t, c, "select 1")
	c.Close(context.Background())

	open := b.Records("session.open", 1)[0]
	for path, want := range map[string]any{
		"cert.sha256": alice.SHA256(), "cert.subject": "CN=alice", "cert.cn": "alice",
		"rule.kind": "map", "rule.name": "people", "requested.user": "alice", "requested.database": "orders",
		"granted.role": "alice", "granted.database": "orders", "granted.pool_mode": "session",
		"upstream.name": "pg", "client.tls": "1.3", "client.listener": "main",
	} {
		if got := dig(open, path); got != want {
			t.Errorf("session.open %s = %v, want %v", path, got, want)
		}
	}
	closed := b.Records("session.close", 1)[0]
	if closed["sid"] != open["sid"] || dig(closed, "end.reason") != "client_terminated" {
		t.Errorf("session.close of %v: %v", open["sid"], closed)
	}
	if n := dig(closed, "end.statements"); n == nil || n.(float64) < 1 {
		t.Errorf("statements %v, want at least 1", n)
	}
}

// dig follows a dotted path into a record.
func dig(record map[string]any, path string) any {
	var v any = record
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

func TestPsqlLogsInWithNothingButACertificate(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	out, errs, err := b.Psql(b.DSN(w.Client("alice"), "alice", "orders"), "select current_user, count(*) from generate_series(1, 100000)")
	if err != nil || strings.TrimSpace(out) != "alice|100000" {
		t.Errorf("psql: %v\n%s%s", err, out, errs)
	}
}

func TestTheRequestedUserPicksAmongTheMapsRoles(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	leaf := w.Issue(w.Clients, pki.Shape{Subject: pki.Name{pki.OU("Billing"), pki.CN("Billing Service")}})
	for _, role := range []string{"billing_rw", "billing_ro"} {
		if user := one[string](t, b.Connect(t, leaf, role, "orders"), "select current_user"); user != role {
			t.Errorf("asked for %s, got %s", role, user)
		}
	}
}

// Two clients of different roles never share a server connection; two of one role and map do, one
// after the other, with nothing left behind.
func TestServerConnectionsAreSharedByRoleAndClean(t *testing.T) {
	onEach(t, expectServerConnectionsAreSharedByRoleAndClean)
}

func expectServerConnectionsAreSharedByRoleAndClean(t *testing.T, w *World) {
	b := w.Start(t, Options{Rules: people, Pool: "size = 1"}) // of two the pool would take the one that was used last
	ctx := context.Background()
	visit := func(cn string, check func(c *pgx.Conn)) int {
		c := b.Connect(t, w.Client(cn), cn, "orders")
		defer c.Close(ctx)
		if check != nil {
			check(c)
		}
		return one[int](t, c, "select pg_backend_pid()")
	}
	first := visit("alice", func(c *pgx.Conn) {
		for _, sql := range []string{
			"set timezone = 'Asia/Tokyo'", "create temp table secret (x int)", "listen gossip",
			"select pg_advisory_lock(4711)", "prepare leak as select 1", "begin",
		} {
			if _, err := c.Exec(ctx, sql); err != nil {
				t.Fatal(err)
			}
		}
	})
	if pid := visit("bob", nil); pid == first {
		t.Errorf("bob got alice's server connection %d", pid)
	}
	Poll(t, "the first connection to be used again", func() bool {
		return visit("alice", func(c *pgx.Conn) {
			if tz := one[string](t, c, "show timezone"); tz == "Asia/Tokyo" {
				t.Error("a setting was left behind")
			}
			left := one[int](t, c, `select (select count(*) from pg_class where relname = 'secret' and relpersistence = 't')
				+ (select count(*) from pg_listening_channels()) + (select count(*) from pg_prepared_statements where name = 'leak')
				+ (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())`)
			if left != 0 {
				t.Errorf("%d things were left behind", left)
			}
		}) == first
	})
}

// A113, A107: nothing a client says leads beyond the mapped role.
func TestA107NoStatementLeadsBeyondTheMappedRole(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	c := b.Connect(t, w.Client("alice"), "alice", "orders")
	ctx := context.Background()
	for _, sql := range []string{
		"SET SESSION AUTHORIZATION boss", "SET SESSION AUTHORIZATION postgres", "SET ROLE boss", "SET LOCAL ROLE bob",
		"set session authorization default; set role bob", "select set_config('role', 'boss', false)",
		"select set_config('session_authorization', 'postgres', false)",
		"do $$ begin execute 'set role boss'; end $$", "RESET ROLE; SET ROLE billing_rw",
	} {
		_, err := c.Exec(ctx, sql)
		if code := SQLState(err); code != "42501" && code != "22023" {
			t.Errorf("%s: SQLSTATE %q (%v), want PostgreSQL's refusal", sql, code, err)
		}
		if user := one[string](t, c, "select session_user || ' ' || current_user"); user != "alice alice" {
			t.Fatalf("after %s the session is %s", sql, user)
		}
	}
	for _, sql := range []string{"RESET ROLE", "RESET SESSION AUTHORIZATION", "DISCARD ALL", "RESET ALL"} {
		if _, err := c.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		if user := one[string](t, c, "select session_user || ' ' || current_user"); user != "alice alice" {
			t.Fatalf("after %s the session is %s", sql, user)
		}
	}
}

// A106, A125: start-up options that would change who the session is.
func TestA106A125StartupOptionsCannotChangeTheRole(t *testing.T) {
	w := Shared(t)
	b := underWatch(t, Options{})
	alice := w.Client("alice")
	for _, params := range [][]string{
		{"options", "-c role=boss"}, {"options", "--role=boss"}, {"options", "-crole=boss"},
		{"options", "-c session_authorization=boss"}, {"options", "-c session-authorization=boss"},
		{"options", "--session-authorization=boss"}, {"options", "-c ROLE=boss"}, {"options", "--Role=boss"},
		{"options", `-c search_path=a\ b -c role=boss`}, {"options", "-c pgsignet.session=x"}, {"options", "--PGSIGNET-identity=x"},
		{"role", "boss"}, {"ROLE", "boss"}, {"session_authorization", "boss"}, {"session-authorization", "boss"},
		{"pgsignet.token", "x"}, {"PgSignet.Map", "x"},
	} {
		c := b.DialTLS(t, alice)
		c.Send(Startup(3<<16, append([]string{"user", "alice", "database", "orders"}, params...)...))
		m := c.ReadError()
		if Field(m, 'C') != "42501" || Field(m, 'S') != "FATAL" {
			t.Errorf("%v: %s, want FATAL 42501", params, ErrorText(m))
		}
		if denied := b.denialOf(m); dig(denied, "denial.stage") != "startup" || dig(denied, "denial.sqlstate") != "42501" {
			t.Errorf("%v: audit: %v", params, denied["denial"])
		}
	}
	if n := b.metrics(t)[`pgsignet_upstream_connect_seconds_count{upstream="pg"}`]; n != "1" {
		t.Errorf("%s server connections were opened, want the good session's alone", n)
	}
	b.undisturbed(t)
}

// W13, W14: start-up settings reach PostgreSQL as the session's, or are refused with its own error.
func TestW13StartupSettingsAreApplied(t *testing.T) {
	onEach(t, expectW13StartupSettingsAreApplied)
}

func expectW13StartupSettingsAreApplied(t *testing.T, w *World) {
	b := w.Start(t, Options{Rules: people})
	alice := w.Client("alice")
	c, err := b.TryConnect(alice, "alice", "orders", func(cfg *pgx.ConnConfig) {
		cfg.RuntimeParams["application_name"] = `it's a "test" \ ünïcode`
		cfg.RuntimeParams["options"] = `-c extra_float_digits=0 --work-mem=1234kB -c search_path="stock\ room",public`
		cfg.RuntimeParams["timezone"] = "Asia/Kolkata"
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for name, want := range map[string]string{
		"extra_float_digits": "0", "work_mem": "1234kB", "timezone": "Asia/Kolkata", "search_path": `"stock room",public`,
	} {
		if got := one[string](t, c, "select current_setting('"+name+"')"); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got := c.PgConn().ParameterStatus("TimeZone"); got != "Asia/Kolkata" {
		t.Errorf("the client was told TimeZone %q", got)
	}
	for _, tt := range []struct{ name, value, code string }{
		{"no_such_setting", "1", "42704"}, {"work_mem", "many", "22023"}, {"ignore_system_indexes", "on", "55P02"},
		{"max_connections", "7", "55P02"}, {"log_statement", "all", "42501"},
	} {
		_, err := b.TryConnect(alice, "alice", "orders", func(cfg *pgx.ConnConfig) { cfg.RuntimeParams[tt.name] = tt.value })
		if code := SQLState(err); code != tt.code {
			t.Errorf("%s=%s: SQLSTATE %q (%v), want %s", tt.name, tt.value, code, err, tt.code)
		}
	}
}

func TestCancelStopsTheStatementAndNothingElse(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	alice := w.Client("alice")
	for _, version := range []uint32{3 << 16, 3<<16 | 2} {
		for _, over := range []string{"plaintext", "TLS"} {
			c := b.DialTLS(t, alice)
			c.Send(Startup(version, "user", "alice", "database", "orders"))
			var key []byte
			for _, m := range c.ReadUntil('Z') {
				if m.Type == 'K' {
					key = m.Body
				}
			}
			if want := map[uint32]int{3 << 16: 8, 3<<16 | 2: 36}[version]; len(key) != want {
				t.Fatalf("W8: key of %d bytes for version %x, want %d", len(key), version, want)
			}
			c.Send(Query("select pg_sleep(60)"))
			Poll(t, "the statement to run", func() bool { return w.running(t, "select pg_sleep(60)") == 1 })
			b.cancel(t, over, alice, key)
			messages := c.ReadUntil('Z')
			if got := Types(messages); got != "E ZI" && got != "T E ZI" {
				t.Errorf("cancel over %s: %s", over, got)
			}
			for _, m := range messages {
				if m.Type == 'E' && Field(m, 'C') != "57014" {
					t.Errorf("cancel over %s: %s", over, ErrorText(m))
				}
			}
			// A cancel that comes when nothing runs, or with a wrong key, does nothing.
			b.cancel(t, over, alice, key)
			wrong := append([]byte{}, key...)
			wrong[len(wrong)-1] ^= 1
			c.Send(Query("select pg_sleep(0.2), 42"))
			b.cancel(t, over, alice, wrong)
			if got := Types(c.ReadUntil('Z')); got != "T D C ZI" {
				t.Errorf("after stray cancels: %s", got)
			}
		}
	}
	if n := len(b.Records("cancel", 4)); n < 4 {
		t.Errorf("%d cancel records, want at least 4", n)
	}
}

// running counts the statements with that text, a call of pg_sleep, that sleep just now. A statement of the extended
// protocol is active as soon as it is parsed, when there is nothing yet that could be cancelled.
func (w *World) running(t *testing.T, sql string) int {
	t.Helper()
	c, err := w.PG.Connect(context.Background(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	return one[int](t, c, "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and query = '"+strings.ReplaceAll(sql, "'", "''")+"'")
}

// cancel sends a cancel request and waits for the broker to close the connection (W72).
func (b *Broker) cancel(t *testing.T, over string, leaf *pki.Leaf, key []byte) {
	t.Helper()
	c := b.Dial(t)
	if over == "TLS" {
		c = b.DialTLS(t, leaf)
	}
	packet := append([]byte{0, 0, 0, byte(8 + len(key)), 4, 210, 22, 46}, key...)
	c.Send(packet)
	if m, err := c.Read1(); err == nil {
		t.Errorf("W72: a cancel request was answered with %c", m.Type)
	}
}

func TestW90SIGTERMDrains(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Drain: "1m"})
	ctx := context.Background()
	idle := b.Connect(t, w.Client("alice"), "alice", "orders")
	busy := b.Connect(t, w.Client("bob"), "bob", "orders")
	tx, err := busy.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "create temp table drained (x int)"); err != nil {
		t.Fatal(err)
	}
	b.Signal(15)
	Poll(t, "the idle client to be ended", func() bool {
		_, err := idle.Exec(ctx, "select 1")
		return err != nil
	})
	if _, err := tx.Exec(ctx, "insert into drained values (1)"); err != nil {
		t.Fatalf("a transaction was disturbed by the drain: %v", err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatalf("commit during drain: %v", err)
	}
	if code := b.Wait(StopLimit); code != 0 {
		t.Errorf("exit status %d, want 0", code)
	}
	_, err = busy.Exec(ctx, "select 1")
	if err == nil {
		t.Error("the session outlived the drain")
	}
	for _, r := range b.Records("session.close", 2) {
		if dig(r, "end.reason") != "shutdown" || dig(r, "end.sqlstate") != "57P01" {
			t.Errorf("close record: %v", r["end"])
		}
	}
}

// A second SIGTERM ends at once what the first waits for.
func TestW90SecondSIGTERMWaitsForNobody(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Drain: "1h"})
	busy := b.Connect(t, w.Client("bob"), "bob", "orders")
	tx, err := busy.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.Signal(15)
	b.waitFor(t, "draining")
	if _, err := tx.Exec(t.Context(), "select 1"); err != nil {
		t.Fatalf("the first signal disturbs a transaction: %v", err)
	}
	b.Signal(15)
	b.Wait(StopLimit)
	if _, err := tx.Exec(t.Context(), "select 1"); err == nil {
		t.Error("the transaction outlived the second signal")
	}
	if r := b.Records("session.close", 1)[0]; dig(r, "end.reason") != "drain_timeout" && dig(r, "end.reason") != "shutdown" {
		t.Errorf("close record: %v", r["end"])
	}
}
