package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// transactions is a pool of n servers in transaction mode, shared by everybody of a role.
func transactions(n int, more ...string) string {
	return fmt.Sprintf("mode = \"transaction\"\nsize = %d\n%s", n, strings.Join(more, "\n"))
}

func TestTransactionModeSharesServersBetweenTransactions(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Pool: transactions(1)})
	ctx := context.Background()
	alice := w.Client("alice")
	first, second := b.Connect(t, alice, "alice", "orders"), b.Connect(t, alice, "alice", "orders")
	pid := one[int](t, first, "select pg_backend_pid()")
	if other := one[int](t, second, "select pg_backend_pid()"); other != pid {
		t.Errorf("two idle clients hold servers %d and %d, want one", pid, other)
	}
	if uint32(pid) == first.PgConn().PID() || first.PgConn().PID() == second.PgConn().PID() {
		t.Errorf("W71: pids %d and %d are not the sessions' own (backend %d)", first.PgConn().PID(), second.PgConn().PID(), pid)
	}
	tx, err := first.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan int)
	go func() {
		var n int
		second.QueryRow(ctx, "select 42").Scan(&n)
		done <- n
	}()
	for range 3 {
		if _, err := tx.Exec(ctx, "select pg_sleep(0.02)"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
			t.Fatal("W18: the server was given away inside a transaction")
		default:
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if n := <-done; n != 42 {
		t.Errorf("the waiting client read %d", n)
	}
}

// W33-W39: statements that clients prepare work wherever their next transaction runs.
func TestPreparedStatementsFollowTheirClients(t *testing.T) {
	w := Shared(t)
	for _, limit := range []int{500, 3} {
		b := w.Start(t, Options{Rules: people, Pool: transactions(2, fmt.Sprintf("prepared_statements = %d", limit))})
		alice := w.Client("alice")
		ctx := context.Background()
		var clients sync.WaitGroup
		for i := range 8 {
			c := b.Connect(t, alice, "alice", "orders")
			clients.Go(func() {
				for round := range 30 {
					// Nine texts, some of them the same for all clients, in pgx's cache of prepared statements.
					sql := fmt.Sprintf("select $1::int + %d, $2::text", (round%3)*(i%2*10+1))
					var sum int
					var mark string
					want := fmt.Sprintf("client %d round %d", i, round)
					if err := c.QueryRow(ctx, sql, round, want).Scan(&sum, &mark); err != nil {
						t.Errorf("%s: %v", want, err)
						return
					}
					if sum != round+(round%3)*(i%2*10+1) || mark != want {
						t.Errorf("%s: got %d %q", want, sum, mark)
					}
				}
			})
		}
		clients.Wait()
	}
}

// W43: what is prepared with a type that is dropped is prepared again, for whoever comes with the same text.
func TestW43DroppedTypesArePreparedAgain(t *testing.T) {
	onEach(t, func(t *testing.T, w *World) {
		w.Exec(t, "orders", "create schema moods authorization alice")
		b := w.Start(t, Options{Rules: people, Pool: transactions(2)})
		alice, ctx := w.Client("alice"), context.Background()
		ask := func(tx pgx.Tx) error {
			var mood string
			return tx.QueryRow(ctx, "select $1::moods.mood::text", "fine").Scan(&mood)
		}
		both := func() error { // at once, so that each has a server
			var err error
			for range 2 {
				tx, beginErr := b.Connect(t, alice, "alice", "orders").Begin(ctx)
				if beginErr != nil {
					t.Fatal(beginErr)
				}
				defer tx.Rollback(ctx) // its client stays, and its statement with it
				err = errors.Join(err, ask(tx))
			}
			return err
		}
		const mood = "create type moods.mood as enum ('fine')"
		c := b.Connect(t, alice, "alice", "orders")
		for _, sql := range []string{mood, "", "drop type moods.mood", mood} {
			if sql == "" {
				if err := both(); err != nil {
					t.Fatal(err)
				}
			} else if _, err := c.Exec(ctx, sql); err != nil {
				t.Fatal(err)
			}
		}
		Poll(t, "the new type", func() bool { return both() == nil })
		w.Exec(t, "orders", "drop schema moods cascade")
	})
}

// W43: the same, when the type was made in a transaction that was rolled back.
func TestW43TypesRolledBackArePreparedAgain(t *testing.T) {
	onEach(t, func(t *testing.T, w *World) {
		w.Exec(t, "orders", "create schema moods authorization alice")
		b := w.Start(t, Options{Rules: people, Pool: transactions(1)})
		alice, ctx := w.Client("alice"), context.Background()
		ask := func(tx pgx.Tx) {
			t.Helper()
			var mood string
			if _, err := tx.Exec(ctx, "create type moods.mood as enum ('fine')"); err != nil {
				t.Fatal(err)
			}
			if err := tx.QueryRow(ctx, "select $1::moods.mood::text", "fine").Scan(&mood); err != nil {
				t.Error(err)
			}
			if err := tx.Rollback(ctx); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // the first client stays, and its statement with it
			tx, err := b.Connect(t, alice, "alice", "orders").Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			ask(tx)
		}
		w.Exec(t, "orders", "drop schema moods cascade")
	})
}

// W35: PostgreSQL's own errors for names in use and names unknown, with the client's name in them.
func TestW35StatementNameErrorsAreThePostgreSQLOnes(t *testing.T) {
	onEach(t, expectW35StatementNameErrorsAreThePostgreSQLOnes)
}

func expectW35StatementNameErrorsAreThePostgreSQLOnes(t *testing.T, w *World) {
	b := w.Start(t, Options{Rules: people, Pool: transactions(1)})
	c := b.DialTLS(t, w.Client("alice"))
	c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
	c.ReadUntil('Z')
	parse := func(name, sql string) []byte { return Msg('P', name+"\x00"+sql+"\x00\x00\x00") }
	bind := func(name string) []byte { return Msg('B', "\x00"+name+"\x00\x00\x00\x00\x00\x00\x00") }
	execute, sync := Msg('E', "\x00\x00\x00\x00\x00"), Msg('S', "")
	for _, tt := range []struct {
		name string
		send [][]byte
		want string
		text string
	}{
		{"prepare and run", [][]byte{parse("s1", "select 1"), bind("s1"), execute, sync}, "1 2 D C ZI", ""},
		{"run again", [][]byte{bind("s1"), execute, sync}, "2 D C ZI", ""},
		{"name in use", [][]byte{parse("s1", "select 2"), sync}, "E ZI", `42P05 prepared statement "s1" already exists`},
		{"still the first", [][]byte{bind("s1"), execute, sync}, "2 D C ZI", ""},
		{"a parameter is missing", [][]byte{parse("s2", "select $1::int"), sync}, "1 ZI", ""},
		{"its Bind", [][]byte{bind("s2"), execute, sync}, "E ZI", `08P01 bind message supplies 0 parameters, but prepared statement "s2" requires 1`},
		{"with its Parse", [][]byte{parse("s3", "select $1::text"), bind("s3"), execute, sync}, "1 E ZI", `but prepared statement "s3" requires 1`},
		{"unknown name", [][]byte{bind("nope"), execute, sync}, "E ZI", `26000 prepared statement "nope" does not exist`},
		{"describe", [][]byte{Msg('D', "Ss1\x00"), sync}, "t T ZI", ""},
		{"close", [][]byte{Msg('C', "Ss1\x00"), sync}, "3 ZI", ""},
		{"close again", [][]byte{Msg('C', "Ss1\x00"), sync}, "3 ZI", ""},
		{"closed", [][]byte{bind("s1"), execute, sync}, "E ZI", `26000 prepared statement "s1" does not exist`},
		{"the name is free", [][]byte{parse("s1", "select 3"), bind("s1"), execute, sync}, "1 2 D C ZI", ""},
		{"W34: a Parse that fails leaves no name", [][]byte{parse("bad", "selec"), sync, bind("bad"), execute, sync}, "E ZI", "42601"},
		{"and its Bind", nil, "E ZI", `26000 prepared statement "bad" does not exist`},
		{"W41: SQL DEALLOCATE", [][]byte{Query("deallocate s1")}, "C ZI", ""},
		{"is a Close", [][]byte{bind("s1"), sync}, "E ZI", `26000 prepared statement "s1" does not exist`},
		{"W40", [][]byte{parse("a", "select 1"), parse("b", "select 2"), sync}, "1 1 ZI", ""},
		{"W40: DEALLOCATE ALL", [][]byte{Query("deallocate all"), parse("a", "select 4"), bind("a"), execute, sync}, "C ZI", ""},
		{"W40: at its place in the pipeline", nil, "1 2 D C ZI", ""},
		{"W40: b went", [][]byte{bind("b"), sync}, "E ZI", `26000 prepared statement "b" does not exist`},
		{"W40: a is the new one", [][]byte{bind("a"), execute, sync}, "2 D C ZI", ""},
		{"unnamed", [][]byte{parse("", "select 5"), sync, bind(""), execute, sync}, "1 ZI", ""},
		{"W38: unnamed survives Sync", nil, "2 D C ZI", ""},
		{"W38: not a Query", [][]byte{Query("select 6"), bind(""), sync}, "T D C ZI", ""},
		{"W38: gone", nil, "E ZI", "26000"},
		{"W29: Parse in a failed transaction", [][]byte{Query("begin; select 1/0"), parse("x", "select 4"), sync}, "C E ZE", "22012"},
		{"W29: fails", nil, "E ZE", "25P02"},
		{"rollback", [][]byte{Query("rollback")}, "C ZI", ""},
	} {
		for _, m := range tt.send {
			c.Send(m)
		}
		messages := c.ReadUntil('Z')
		if got := Types(messages); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		for _, m := range messages {
			if m.Type == 'E' && !strings.Contains(ErrorText(m), tt.text) {
				t.Errorf("%s: %s, want %q", tt.name, ErrorText(m), tt.text)
			}
		}
	}
}

// The state that cannot be replayed keeps its server, and no other client ever sees it.
func TestW52StateThatCannotMoveStaysAndIsNeverShared(t *testing.T) {
	onEach(t, expectW52StateThatCannotMoveStaysAndIsNeverShared)
}

func expectW52StateThatCannotMoveStaysAndIsNeverShared(t *testing.T, w *World) {
	b := w.Start(t, Options{Rules: people, Pool: transactions(2, `wait_timeout = "10s"`)})
	ctx := context.Background()
	alice := w.Client("alice")
	const left = `select (select count(*) from pg_class where relname = 'mine' and relnamespace = pg_my_temp_schema())
		+ (select count(*) from pg_listening_channels()) + (select count(*) from pg_prepared_statements where name = 'mine')
		+ (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())
		+ (select count(*) from pg_cursors where name = 'mine') + (current_setting('work_mem') = '7MB')::int`
	for _, tt := range []struct{ take, giveBack string }{
		{"create temp table mine (x int)", "discard temp"},
		{`CREATE /* x */ TEMPORARY TABLE "mine" ()`, "discard all"},
		{"select 1 as x into temp mine", "discard temp"},
		{"listen mine", "unlisten *"},
		{"prepare mine as select 1", "deallocate all"},
		{"select pg_advisory_lock(1)", "select pg_advisory_unlock_all()"},
		{"select pg_catalog . pg_try_advisory_lock_shared(2)", "select pg_advisory_unlock_all()"},
		{`select "pg_advisory_lock"(3)`, "select pg_advisory_unlock_all()"},
		{`select U&"pg\005fadvisory\005flock"(3)`, "select pg_advisory_unlock_all()"},
		{"begin; declare mine cursor with hold for select 1; commit", "close all"},
		{"declare mine cursor with hold for select 1", "close mine"},
		{`declare "mine" scroll cursor with hold for select 1`, "CLOSE Mine"},
		{"select set_config('work_mem', '7MB', false)", "reset all"},
		{"select 1; set work_mem = '7MB'", "reset all"},
	} {
		c, other := b.Connect(t, alice, "alice", "orders"), b.Connect(t, alice, "alice", "orders")
		if _, err := c.Exec(ctx, tt.take); err != nil {
			t.Fatalf("%s: %v", tt.take, err)
		}
		pid := one[int](t, c, "select pg_backend_pid()")
		for range 3 {
			if n := one[int](t, c, left); n != 1 {
				t.Errorf("%s: %d of it left for its own client, want 1", tt.take, n)
			}
			if n := one[int](t, other, left); n != 0 {
				t.Errorf("%s: seen by another client", tt.take)
			}
		}
		if _, err := c.Exec(ctx, tt.giveBack); err != nil {
			t.Fatalf("%s: %v", tt.giveBack, err)
		}
		if n := one[int](t, c, left); n != 0 {
			t.Errorf("%s: %s left %d", tt.take, tt.giveBack, n)
		}
		// Freed: two transactions at once fit into the two servers.
		for range 3 {
			tx, err := other.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			tx2, err := b.Connect(t, alice, "alice", "orders").Begin(ctx)
			if err != nil {
				t.Fatalf("%s: server %d still pinned after %s: %v", tt.take, pid, tt.giveBack, err)
			}
			tx.Rollback(ctx)
			tx2.Rollback(ctx)
		}
		c.Close(ctx)
		other.Close(ctx)
	}
}

// W57: an aborted COPY whose Sync may or may not have been eaten.
func TestW57AbortedCopyKeepsStep(t *testing.T) {
	onEach(t, expectW57AbortedCopyKeepsStep)
}

func expectW57AbortedCopyKeepsStep(t *testing.T, w *World) {
	w.Exec(t, "orders", `create table if not exists lines (x int); grant all on lines to alice`)
	b := w.Start(t, Options{Rules: people, Pool: transactions(1)})
	c := b.DialTLS(t, w.Client("alice"))
	c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
	c.ReadUntil('Z')
	for range 3 {
		for _, m := range [][]byte{
			Msg('P', "\x00copy lines from stdin\x00\x00\x00"), Msg('B', "\x00\x00\x00\x00\x00\x00\x00\x00"),
			Msg('E', "\x00\x00\x00\x00\x00"), Msg('S', ""),
		} {
			c.Send(m)
		}
		if got := Types(c.ReadUntil('G')); got != "1 2 G" {
			t.Fatal(got)
		}
		c.Send(Msg('d', "not a number\n"))
		c.ReadUntil('E')
		c.Send(append(Msg('c', ""), Msg('S', "")...))
		if got := Types(c.ReadUntil('Z')); got != "ZI" {
			t.Errorf("after the failed COPY: %s, want ZI", got)
		}
		c.Send(Query("select 7"))
		if got := Types(c.ReadUntil('Z')); got != "T D C ZI" {
			t.Errorf("the next query: %s", got)
		}
	}
	other := b.Connect(t, w.Client("alice"), "alice", "orders")
	one[int](t, other, "select 1") // the one server is free again
}

// W76, W89: a request that waits for a server can be cancelled, and gives up after wait_timeout;
// both are errors, and the session lives.
func TestWaitingForAServerEndsInAnError(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Pool: transactions(1, `wait_timeout = "1s"`)})
	ctx := context.Background()
	alice := w.Client("alice")
	var holder *pgx.Conn
	var tx pgx.Tx
	untilServed(t, func() (err error) { holder, err = b.TryConnect(alice, "alice", "orders"); return err })
	defer holder.Close(ctx)
	untilServed(t, func() (err error) { tx, err = holder.Begin(ctx); return err })
	waiter := b.Connect(t, alice, "alice", "orders")
	if _, err := waiter.Exec(ctx, "select 1"); SQLState(err) != "53300" {
		t.Errorf("simple: %v, want SQLSTATE 53300", err)
	}
	if err := waiter.QueryRow(ctx, "select $1::int", 5).Scan(new(int)); SQLState(err) != "53300" {
		t.Errorf("extended: %v, want SQLSTATE 53300", err)
	}
	b2 := w.Start(t, Options{Rules: people, Pool: transactions(1)})
	holder2, waiter2 := b2.Connect(t, alice, "alice", "orders"), b2.Connect(t, alice, "alice", "orders")
	tx2, err := holder2.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := waiter2.Exec(ctx, "select 1")
		failed <- err
	}()
	Poll(t, "the waiting request to be cancelled", func() bool {
		waiter2.PgConn().CancelRequest(ctx)
		select {
		case err := <-failed:
			if SQLState(err) != "57014" {
				t.Errorf("cancelled in the queue: %v, want SQLSTATE 57014", err)
			}
			return true
		default:
			return false
		}
	})
	tx.Rollback(ctx)
	tx2.Rollback(ctx)
	var n int
	untilServed(t, func() error { return waiter.QueryRow(ctx, "select 6").Scan(&n) })
	if n != 6 {
		t.Error("the session did not survive its timeout")
	}
	if n := one[int](t, waiter2, "select 7"); n != 7 {
		t.Error("the session did not survive its cancel")
	}
}
