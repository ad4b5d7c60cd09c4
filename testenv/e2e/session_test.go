package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// bothModes runs a test in session mode and in transaction mode, with one server connection in the
// latter, so that sessions have to share it.
func bothModes(t *testing.T, run func(t *testing.T, mode string)) {
	for _, mode := range []string{"session", "transaction"} {
		t.Run(mode, func(t *testing.T) { run(t, mode) })
	}
}

// ruled is a map for everybody with blocks of its own.
func ruled(mode, blocks string) string {
	return fmt.Sprintf(`
map "ruled" {
  match { cn = "/^([a-z_]+)$" }
  role      = "$1"
  databases = ["orders"]
  pool_mode = %q
  %s
}
`, mode, blocks)
}

// A map's settings win over start-up parameters and over SET, in every way a client may say it.
func TestMapSettingsHoldAgainstTheClient(t *testing.T) {
	w := Shared(t)
	bothModes(t, func(t *testing.T, mode string) {
		b := w.Start(t, Options{Pool: "size = 2", Rules: ruled(mode, `
  session {
    settings = { "work_mem" = "7MB", "TimeZone" = "Asia/Tokyo", "app.caller" = cert.cn }
  }`)})
		w.Exec(t, "orders", `create or replace function public.widen() returns text language sql as
			$$ select set_config('work_mem', '1GB', false) || set_config('timezone', 'UTC', false) || set_config('app.caller', 'boss', false) $$`)
		ctx := context.Background()
		for _, protocol := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
			c, err := b.TryConnect(w.Client("alice"), "alice", "orders", func(cfg *pgx.ConnConfig) {
				cfg.DefaultQueryExecMode = protocol
				cfg.RuntimeParams["work_mem"] = "1GB"
				cfg.RuntimeParams["timezone"] = "UTC"
				cfg.RuntimeParams["app.caller"] = "boss"
				cfg.RuntimeParams["extra_float_digits"] = "2"
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(ctx)
			hold := func(after string) {
				t.Helper()
				for name, want := range map[string]string{"work_mem": "7MB", "timezone": "Asia/Tokyo", "app.caller": "alice", "extra_float_digits": "2"} {
					if got := one[string](t, c, "show "+name); got != want {
						t.Errorf("%v after %q: %s = %q, want %q", protocol, after, name, got, want)
					}
				}
				if got := c.PgConn().ParameterStatus("TimeZone"); got != "Asia/Tokyo" {
					t.Errorf("after %q the client believes TimeZone to be %q", after, got)
				}
			}
			hold("login")
			for _, tt := range []struct{ sql, code string }{
				{"set work_mem = '1GB'", "42501"},
				{"set session timezone to 'UTC'", "42501"},
				{"set time zone 'UTC'", "42501"},
				{"set local work_mem = '1GB'", "42501"},
				{`set "app"."caller" = 'boss'`, "42501"},
				{"select set_config('work_mem', '1GB', false)", "42501"},
				{"select set_config('work_mem', '1GB', true)", "42501"},
				{"select set_config('work' || '_mem', '1GB', false)", ""},
				{"do $$ begin perform set_config('work_mem', '1GB', false); set timezone = 'UTC'; end $$", ""},
				{"reset work_mem", ""},
				{"reset timezone", ""},
				{"reset all", ""},
				{"discard all", ""},
			} {
				_, err := c.Exec(ctx, tt.sql)
				if SQLState(err) != tt.code {
					t.Errorf("%v: %s: %v, want SQLSTATE %q", protocol, tt.sql, err, tt.code)
				}
				if tt.sql == "discard all" {
					c.DeallocateAll(ctx)
				}
				hold(tt.sql)
			}
			// What a function sets is seen in what the server reports, and in nothing else (docs/configuration.md).
			if _, err := c.Exec(ctx, "select widen()"); err != nil {
				t.Fatal(err)
			}
			if got := one[string](t, c, "show timezone"); got != "Asia/Tokyo" {
				t.Errorf("%v: timezone = %q after a function had set it", protocol, got)
			}
			if got := one[string](t, c, "show work_mem"); got != "1GB" {
				t.Errorf("%v: work_mem = %q after a function had set it: the documentation says 1GB", protocol, got)
			}
			c.Exec(ctx, "reset all")
			hold("a function")
			if _, err := c.Exec(ctx, "set lock_timeout = 17"); err != nil {
				t.Fatal(err)
			}
			if got := one[string](t, c, "show lock_timeout"); got != "17ms" {
				t.Errorf("%v: the client's own SET was lost: lock_timeout = %q", protocol, got)
			}
			tx, err := c.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, "set local work_mem = '1GB'"); SQLState(err) != "42501" {
				t.Errorf("in a block: %v", err)
			}
			if _, err := tx.Exec(ctx, "select 1"); SQLState(err) != "25P02" {
				t.Errorf("W24: the block lives on after a refusal: %v", err)
			}
			tx.Rollback(ctx)
			hold("rollback")
			c.Close(ctx)
		}
	})
}

// W94: the broker's clock ends a statement whatever the client has set.
func TestW94StatementTimeoutHoldsAgainstTheClient(t *testing.T) {
	w := Shared(t)
	bothModes(t, func(t *testing.T, mode string) {
		b := w.Start(t, Options{Pool: "size = 2", Rules: ruled(mode, `session { statement_timeout = "700ms" }`)})
		ctx := context.Background()
		for _, tt := range []struct{ name, before, sql, want string }{
			{"as it is", "", "select pg_sleep(20)", "700ms"},
			{"off", "set statement_timeout = 0", "select pg_sleep(20)", ""},
			{"longer", "set statement_timeout = '1h'", "select pg_sleep(20)", ""},
			{"longer in the block", "begin; set local statement_timeout = 0", "select pg_sleep(20)", ""},
			{"COPY out", "set statement_timeout = 0", "copy (select pg_sleep(0.05), g from generate_series(1, 1000) g) to stdout", ""},
			{"between statements of one Query", "set statement_timeout = 0", "select pg_sleep(0.3); select pg_sleep(0.3); select pg_sleep(20)", ""},
			{"shorter stays shorter", "set statement_timeout = '100ms'", "select pg_sleep(20)", "100ms"},
		} {
			c := b.Connect(t, w.Client("alice"), "alice", "orders")
			if tt.before != "" {
				notTooLong(t, c, tt.before)
			}
			if tt.want != "" {
				if got := notTooLong(t, c, "show statement_timeout"); got != tt.want {
					t.Errorf("%s: the server's statement_timeout is %s, want %s", tt.name, got, tt.want)
				}
			}
			began := time.Now()
			var err error
			if strings.HasPrefix(tt.sql, "copy") {
				_, err = c.PgConn().CopyTo(ctx, discard{}, tt.sql)
			} else if strings.Contains(tt.sql, ";") {
				_, err = c.Exec(ctx, tt.sql, pgx.QueryExecModeSimpleProtocol)
			} else {
				_, err = c.Exec(ctx, tt.sql)
			}
			took := time.Since(began)
			limit := 700 * time.Millisecond
			if tt.want == "100ms" {
				limit = 100 * time.Millisecond
			}
			t.Logf("%s, %s: cancelled after %v", mode, tt.name, took.Round(time.Millisecond))
			if SQLState(err) != "57014" || took < limit-20*time.Millisecond || took > 15*time.Second {
				t.Errorf("%s: after %v: %v, want SQLSTATE 57014 after %v", tt.name, took, err, limit)
			}
			notTooLong(t, c, "rollback")
			if n := notTooLong(t, c, "select 42"); n != "42" {
				t.Errorf("%s: the session did not survive", tt.name)
			}
			c.Close(ctx)
		}
	})
}

// notTooLong runs SQL, again where a machine that stands still has made it last until it was cancelled, and
// returns the first value of the last result.
func notTooLong(t *testing.T, c *pgx.Conn, sql string) (value string) {
	t.Helper()
	Poll(t, sql, func() bool {
		results, err := c.PgConn().Exec(context.Background(), sql).ReadAll()
		if SQLState(err) == "57014" {
			c.PgConn().Exec(context.Background(), "rollback").ReadAll()
			return false
		}
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if last := results[len(results)-1]; len(last.Rows) > 0 {
			value = string(last.Rows[0][0])
		}
		return true
	})
	return value
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// W94: the clock starts with the first Execute after a Sync and runs to the ReadyForQuery, whatever
// else the client sends meanwhile. COPY from the client is included: PostgreSQL notices a cancel
// request there only when data arrives, so a client that sends none loses its session.
func TestW94ClockRunsToReadyForQuery(t *testing.T) {
	w := Shared(t)
	w.Exec(t, "orders", "create table if not exists public.w94 (n int); grant all on public.w94 to public")
	extended := [][]byte{Query("set statement_timeout = 0"), Msg('P', "\x00select pg_sleep(20)\x00\x00\x00"),
		Msg('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), Msg('E', "\x00\x00\x00\x00\x00"), Msg('S', "")}
	copyIn := [][]byte{Query("copy w94 from stdin")}
	bothModes(t, func(t *testing.T, mode string) {
		b := w.Start(t, Options{Rules: ruled(mode, `session { statement_timeout = "400ms" }`)})
		for _, tt := range []struct {
			name     string
			send     [][]byte
			feed     []byte
			severity string
			from, to time.Duration
		}{
			{"extended", extended, nil, "ERROR", 400 * time.Millisecond, 15 * time.Second},
			{"COPY of a slow client", copyIn, Msg('d', "1\n"), "ERROR", 400 * time.Millisecond, 15 * time.Second},
			{"COPY of a client that sends nothing", copyIn, nil, "FATAL", 5400 * time.Millisecond, time.Minute},
		} {
			c := b.DialTLS(t, w.Client("alice"))
			c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
			c.ReadUntil('Z')
			began := time.Now()
			for _, m := range tt.send {
				c.Send(m)
			}
			stop := make(chan struct{})
			fed := make(chan struct{})
			go func() {
				defer close(fed)
				for tt.feed != nil {
					select {
					case <-stop:
						return
					case <-time.After(20 * time.Millisecond):
						c.Write(tt.feed)
					}
				}
			}()
			var e Message
			for e.Type != 'E' {
				var err error
				if e, err = c.Read1(); err != nil {
					t.Fatalf("%s: %v", tt.name, err)
				}
			}
			took := time.Since(began)
			close(stop)
			<-fed
			t.Logf("%s: %s after %v", tt.name, ErrorText(e), took.Round(time.Millisecond))
			if Field(e, 'C') != "57014" || Field(e, 'S') != tt.severity || took < tt.from || took > tt.to {
				t.Errorf("%s: %s after %v, want %s 57014 between %v and %v", tt.name, ErrorText(e), took, tt.severity, tt.from, tt.to)
			}
			if tt.severity == "ERROR" {
				if tt.feed != nil {
					c.Send(Msg('c', ""))
				}
				c.ReadUntil('Z')
				c.Send(Query("select 1"))
				c.ReadUntil('Z')
			}
			c.Close()
		}
	})
}

// T93: sessions are counted by map and identity, not by certificate, and come free when they end.
func TestT93SessionLimits(t *testing.T) {
	w := Shared(t)
	bothModes(t, func(t *testing.T, mode string) {
		b := w.Start(t, Options{Rules: ruled(mode, "limits {\n sessions = 2\n map_sessions = 3\n}")})
		ctx := context.Background()
		renewed, alice, bob := w.Client("alice"), w.Client("alice"), w.Client("bob")
		first, second := b.Connect(t, alice, "alice", "orders"), b.Connect(t, renewed, "alice", "orders")
		_, err := b.TryConnect(alice, "alice", "orders")
		if SQLState(err) != "53300" || !strings.Contains(err.Error(), "too many sessions of this certificate's owner") {
			t.Errorf("third session of alice: %v", err)
		}
		third := b.Connect(t, bob, "bob", "orders")
		_, err = b.TryConnect(bob, "bob", "orders")
		if SQLState(err) != "53300" {
			t.Errorf("fourth session of the map: %v", err)
		}
		denied := b.Records("session.denied", 2)
		for i, want := range []string{"session_limit", "map_session_limit"} {
			if got := dig(denied[i], "denial.reason"); got != want {
				t.Errorf("denial.reason %v, want %s", got, want)
			}
		}
		second.Close(ctx)
		Poll(t, "a place to come free", func() bool {
			c, err := b.TryConnect(alice, "alice", "orders")
			if err == nil {
				c.Close(ctx)
			}
			return err == nil
		})
		first.Close(ctx)
		third.Close(ctx)
	})
}

// limits.pool: a map never holds more server connections than it may; who waits too long gets 53300.
func TestLimitsPoolCapsServerConnections(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Pool: "size = 5\nwait_timeout = \"300ms\"", Rules: ruled("session", "limits { pool = 1 }")})
	ctx := context.Background()
	var first *pgx.Conn
	untilServed(t, func() (err error) { first, err = b.TryConnect(w.Client("alice"), "alice", "orders"); return err })
	if _, err := b.TryConnect(w.Client("bob"), "bob", "orders"); SQLState(err) != "53300" {
		t.Errorf("a second server connection of the map: %v, want SQLSTATE 53300", err)
	}
	first.Close(ctx)
	Poll(t, "the place to be free", func() bool { // a login of bob's own upstream may take longer than wait_timeout
		c, err := b.TryConnect(w.Client("bob"), "bob", "orders")
		if err == nil {
			c.Close(ctx)
		}
		return err == nil
	})
}

// idle_timeout and max_duration end a session with the SQLSTATE and the audited reason of each; a
// statement under way is no idleness.
func TestIdleTimeoutAndMaxDuration(t *testing.T) {
	w := Shared(t)
	bothModes(t, func(t *testing.T, mode string) {
		for _, tt := range []struct{ session, sql, code, reason string }{ // a client that is quick has two seconds to spare
			{`idle_timeout = "2s"`, "select pg_sleep(3)", "57P05", "idle_timeout"},
			{`max_duration = "3s"`, "select pg_sleep(0.6)", "57P01", "max_duration"},
		} {
			t.Run(tt.reason, func(t *testing.T) {
				t.Parallel()
				b := w.Start(t, Options{Rules: ruled(mode, "session { "+tt.session+" }")})
				c := b.DialTLS(t, w.Client("alice"))
				c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
				c.ReadUntil('Z')
				c.Send(Query(tt.sql))
				c.ReadUntil('Z')
				m, err := c.Read1()
				if err != nil || Field(m, 'C') != tt.code || Field(m, 'S') != "FATAL" {
					t.Errorf("%s: %s %v, want FATAL %s", tt.session, ErrorText(m), err, tt.code)
				}
				if got := dig(b.Records("session.close", 1)[0], "end.reason"); got != tt.reason {
					t.Errorf("%s: end.reason %v, want %s", tt.session, got, tt.reason)
				}
			})
		}
	})
}
