// Command libpq runs the driver lib/pq through its steps and prints one JSON line for each. It is a
// module of its own, because advisories against lib/pq are open and pgsignet itself must not link it.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/lib/pq"
)

var table = os.Getenv("COMPAT_TABLE")

// errNone says that the driver has no such thing.
type errNone string

func (e errNone) Error() string { return string(e) }

func report(step, status, detail string) {
	_ = json.NewEncoder(os.Stdout).Encode(map[string]string{"step": step, "status": status, "detail": detail})
}

func main() {
	_ = json.NewEncoder(os.Stdout).Encode(map[string]string{"driver": "lib/pq", "version": version(), "library": ""})
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	db, err := sql.Open("postgres", "") // the PG* variables say where
	if err != nil {
		report("simple", "fail", err.Error())
		return
	}
	defer db.Close()
	if os.Getenv("COMPAT_REFUSED") != "" {
		if err := db.PingContext(ctx); err != nil {
			report("refused", "ok", err.Error())
		} else {
			report("refused", "fail", "the login succeeded")
		}
		return
	}
	for _, step := range []struct {
		name string
		run  func(context.Context, *sql.DB) error
	}{
		{"simple", simple}, {"parameters", parameters}, {"prepared", prepared}, {"transaction", transaction},
		{"copy_in", copyIn}, {"copy_out", func(context.Context, *sql.DB) error { return errNone("not in lib/pq") }},
		{"large", large}, {"cancel", cancelQuery}, {"notify", notify},
		{"pipeline", func(context.Context, *sql.DB) error { return errNone("not in lib/pq") }},
	} {
		var none errNone
		switch err := step.run(ctx, db); {
		case err == nil:
			report(step.name, "ok", "")
		case errors.As(err, &none):
			report(step.name, "none", err.Error())
		default:
			report(step.name, "fail", err.Error())
		}
	}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/lib/pq" {
			return strings.TrimPrefix(dep.Version, "v")
		}
	}
	return ""
}

func expect[T comparable](got, want T) error {
	if got != want {
		return fmt.Errorf("got %.100v, want %.100v", got, want)
	}
	return nil
}

// code compares the SQLSTATE of an error.
func code(err error, want string) error {
	var e *pq.Error
	if !errors.As(err, &e) || string(e.Code) != want {
		return fmt.Errorf("got %v, want SQLSTATE %s", err, want)
	}
	return nil
}

func exec(ctx context.Context, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, statements ...string) error {
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func simple(ctx context.Context, db *sql.DB) error {
	var n int
	if err := db.QueryRowContext(ctx, "SELECT 1 + 1").Scan(&n); err != nil {
		return err
	}
	return expect(n, 2)
}

func parameters(ctx context.Context, db *sql.DB) error {
	var n int
	if err := db.QueryRowContext(ctx, "SELECT $1::int + $2::int", 40, 2).Scan(&n); err != nil {
		return err
	}
	return expect(n, 42)
}

func prepared(ctx context.Context, db *sql.DB) error {
	statement, err := db.PrepareContext(ctx, "SELECT $1::int * 2")
	if err != nil {
		return err
	}
	defer statement.Close()
	for i := 1; i <= 2; i++ {
		var n int
		if err := statement.QueryRowContext(ctx, i).Scan(&n); err != nil {
			return err
		}
		if err := expect(n, i*2); err != nil {
			return err
		}
	}
	return nil
}

func transaction(ctx context.Context, db *sql.DB) error {
	if err := exec(ctx, db, "DROP TABLE IF EXISTS "+table, "CREATE TABLE "+table+" (id int, name text)"); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = exec(ctx, tx, "INSERT INTO "+table+" VALUES (1, 'lost')")
	err = errors.Join(err, code(exec(ctx, tx, "SELECT 1/0"), "22012"), code(exec(ctx, tx, "SELECT 1"), "25P02"), tx.Rollback())
	if err != nil {
		return err
	}
	if tx, err = db.BeginTx(ctx, nil); err != nil {
		return err
	}
	if err := errors.Join(exec(ctx, tx, "INSERT INTO "+table+" VALUES (2, 'kept')"), tx.Commit()); err != nil {
		return err
	}
	var names string
	if err := db.QueryRowContext(ctx, "SELECT string_agg(name, ',') FROM "+table).Scan(&names); err != nil {
		return err
	}
	return expect(names, "kept")
}

func copyIn(ctx context.Context, db *sql.DB) error {
	if err := exec(ctx, db, "TRUNCATE "+table); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	statement, err := tx.PrepareContext(ctx, pq.CopyIn(table, "id", "name"))
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	for i := range 1000 {
		if _, err := statement.ExecContext(ctx, i, fmt.Sprintf("row %d", i)); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	_, err = statement.ExecContext(ctx)
	if err := errors.Join(err, statement.Close(), tx.Commit()); err != nil {
		return err
	}
	var n int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		return err
	}
	return expect(n, 1000)
}

func large(ctx context.Context, db *sql.DB) error {
	value := strings.Repeat("x", 10<<20)
	var got string
	if err := db.QueryRowContext(ctx, "SELECT $1::text", value).Scan(&got); err != nil {
		return err
	}
	return expect(got == value, true)
}

func cancelQuery(ctx context.Context, db *sql.DB) error {
	other, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer other.Close()
	queryCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen := make(chan error, 1)
	go func() { // ends when the query is seen, or ctx with its deadline
		defer cancel()
		for n := 0; n != 1; time.Sleep(10 * time.Millisecond) {
			if err := other.QueryRowContext(ctx, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_sleep%"+
				table+"%' AND pid <> pg_backend_pid()").Scan(&n); err != nil {
				seen <- err
				return
			}
		}
		seen <- nil
	}()
	_, err = db.ExecContext(queryCtx, "SELECT pg_sleep(30) /* cancel "+table+" */")
	if seenErr := <-seen; seenErr != nil {
		return seenErr
	}
	if !errors.Is(err, context.Canceled) && code(err, "57014") != nil {
		return fmt.Errorf("got %v, want a cancelled query", err)
	}
	return simple(ctx, db)
}

func notify(ctx context.Context, db *sql.DB) error {
	listener := pq.NewListener("", time.Second, time.Minute, nil)
	defer listener.Close()
	if err := listener.Listen("compat_" + table); err != nil {
		return err
	}
	if err := exec(ctx, db, "NOTIFY compat_"+table+", 'hello'"); err != nil {
		return err
	}
	select {
	case n := <-listener.Notify:
		return expect(n.Extra, "hello")
	case <-ctx.Done():
		return ctx.Err()
	}
}
