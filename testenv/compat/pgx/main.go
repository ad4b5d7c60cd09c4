// Command pgx runs the driver pgx through its steps and prints one JSON line for each. The harness
// starts it as it starts the drivers of other languages.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var table = os.Getenv("COMPAT_TABLE")

// pgxPath is the module whose version is shown.
const pgxPath = "github.com/jackc/pgx/v5"

func report(step, status, detail string) {
	_ = json.NewEncoder(os.Stdout).Encode(map[string]string{"step": step, "status": status, "detail": detail})
}

func main() {
	_ = json.NewEncoder(os.Stdout).Encode(map[string]string{"driver": "pgx", "version": version(), "library": ""})
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	if os.Getenv("COMPAT_REFUSED") != "" {
		if _, err := pgx.Connect(ctx, ""); err != nil {
			report("refused", "ok", err.Error())
		} else {
			report("refused", "fail", "the login succeeded")
		}
		return
	}
	for _, step := range []struct {
		name string
		run  func(context.Context, *pgx.Conn) (string, error)
	}{
		{"simple", simple}, {"parameters", parameters}, {"prepared", prepared}, {"transaction", transaction},
		{"copy_in", copyIn}, {"copy_out", copyOut}, {"large", large}, {"cancel", cancelQuery},
		{"notify", notify}, {"pipeline", pipeline},
	} {
		if detail, err := withConn(ctx, step.run); err != nil {
			report(step.name, "fail", err.Error())
		} else {
			report(step.name, "ok", detail)
		}
	}
}

// withConn gives a step a connection of its own; the PG* variables say where.
func withConn(ctx context.Context, step func(context.Context, *pgx.Conn) (string, error)) (string, error) {
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	return step(ctx, conn)
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == pgxPath {
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
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || e.Code != want {
		return fmt.Errorf("got %v, want SQLSTATE %s", err, want)
	}
	return nil
}

func exec(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func query[T comparable](ctx context.Context, conn *pgx.Conn, want T, sql string, args ...any) error {
	var got T
	if err := conn.QueryRow(ctx, sql, args...).Scan(&got); err != nil {
		return err
	}
	return expect(got, want)
}

func simple(ctx context.Context, conn *pgx.Conn) (string, error) {
	return "", query(ctx, conn, 2, "SELECT 1 + 1", pgx.QueryExecModeSimpleProtocol)
}

func parameters(ctx context.Context, conn *pgx.Conn) (string, error) {
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeExec, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeCacheStatement,
	} {
		if err := query(ctx, conn, 42, "SELECT $1::int4 + $2::int4", mode, int32(40), int32(2)); err != nil {
			return "", fmt.Errorf("%v: %w", mode, err)
		}
	}
	return "in four query modes", nil
}

func prepared(ctx context.Context, conn *pgx.Conn) (string, error) {
	if _, err := conn.Prepare(ctx, "compat", "SELECT $1::int4 * 2"); err != nil {
		return "", err
	}
	for i := 1; i <= 2; i++ {
		if err := query(ctx, conn, i*2, "compat", i); err != nil {
			return "", err
		}
	}
	return "", conn.Deallocate(ctx, "compat")
}

func transaction(ctx context.Context, conn *pgx.Conn) (string, error) {
	if err := exec(ctx, conn, "DROP TABLE IF EXISTS "+table, "CREATE TABLE "+table+" (id int, name text)"); err != nil {
		return "", err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return "", err
	}
	err = errors.Join(exec(ctx, conn, "INSERT INTO "+table+" VALUES (1, 'lost')"),
		code(exec(ctx, conn, "SELECT 1/0"), "22012"), code(exec(ctx, conn, "SELECT 1"), "25P02"), tx.Rollback(ctx))
	if err != nil {
		return "", err
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		return exec(ctx, tx.Conn(), "INSERT INTO "+table+" VALUES (2, 'kept')")
	})
	return "", errors.Join(err, query(ctx, conn, "kept", "SELECT string_agg(name, ',') FROM "+table))
}

func copyIn(ctx context.Context, conn *pgx.Conn) (string, error) {
	if err := exec(ctx, conn, "TRUNCATE "+table); err != nil {
		return "", err
	}
	n, err := conn.CopyFrom(ctx, pgx.Identifier{table}, []string{"id", "name"}, pgx.CopyFromSlice(1000, func(i int) ([]any, error) {
		return []any{i, fmt.Sprintf("row %d", i)}, nil
	}))
	return "binary", errors.Join(err, expect(n, 1000))
}

func copyOut(ctx context.Context, conn *pgx.Conn) (string, error) {
	var out, want bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&want, "%d\trow %d\n", i, i)
	}
	_, err := conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT * FROM "+table+" ORDER BY id) TO STDOUT")
	return "", errors.Join(err, expect(out.String(), want.String()))
}

func large(ctx context.Context, conn *pgx.Conn) (string, error) {
	value := strings.Repeat("x", 10<<20)
	return "", query(ctx, conn, value, "SELECT $1::text", value)
}

// cancelQuery sends a CancelRequest and keeps the connection; a context that ends would close it.
func cancelQuery(ctx context.Context, conn *pgx.Conn) (string, error) {
	other, err := pgx.Connect(ctx, "")
	if err != nil {
		return "", err
	}
	defer other.Close(ctx)
	cancelled := make(chan error, 1)
	go func() { // ends when the query is seen, or ctx with its deadline
		for n := 0; n != 1; time.Sleep(10 * time.Millisecond) {
			err := other.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE $1 AND pid <> pg_backend_pid()",
				"%pg_sleep%"+table+"%").Scan(&n)
			if err != nil {
				cancelled <- err
				return
			}
		}
		cancelled <- conn.PgConn().CancelRequest(ctx)
	}()
	_, err = conn.Exec(ctx, "SELECT pg_sleep(30) /* cancel "+table+" */")
	return "", errors.Join(<-cancelled, code(err, "57014"), query(ctx, conn, 1, "SELECT 1"))
}

func notify(ctx context.Context, conn *pgx.Conn) (string, error) {
	other, err := pgx.Connect(ctx, "")
	if err != nil {
		return "", err
	}
	defer other.Close(ctx)
	if err := errors.Join(exec(ctx, conn, "LISTEN compat_"+table), exec(ctx, other, "NOTIFY compat_"+table+", 'hello'")); err != nil {
		return "", err
	}
	n, err := conn.WaitForNotification(ctx)
	if err != nil {
		return "", err
	}
	return "", expect(n.Payload, "hello")
}

func pipeline(ctx context.Context, conn *pgx.Conn) (string, error) {
	batch := &pgx.Batch{}
	for i := range 50 {
		batch.Queue("SELECT $1::int4", i).QueryRow(func(row pgx.Row) error {
			var got int
			return errors.Join(row.Scan(&got), expect(got, i))
		})
	}
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return "", err
	}
	p := conn.PgConn().StartPipeline(ctx)
	p.SendQueryParams("SELECT 1/0", nil, nil, nil, nil)
	if err := p.Sync(); err != nil {
		return "", err
	}
	_, err := p.GetResults()
	if err == nil {
		err = errors.New("no error")
	}
	if err := code(err, "22012"); err != nil {
		return "", err
	}
	return "a batch of 50, then one query that fails", errors.Join(p.Close(), query(ctx, conn, 1, "SELECT 1"))
}
