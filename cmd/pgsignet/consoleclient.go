package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"
)

// This file is the command line's way to the console of a running broker.

// consoleFlags say where the console is: a flag, then the configuration's admin.socket.
type consoleFlags struct {
	socket, dsn string
	json        bool
	config      *configFlags
}

// addConsoleFlags adds the flags of a command that talks to a running broker.
func addConsoleFlags(c *cobra.Command) *consoleFlags {
	f := &consoleFlags{config: addConfigFlags(c)}
	c.Flags().StringVar(&f.socket, "socket", "", "`PATH` of the broker's admin socket (default: admin.socket of the configuration)")
	c.Flags().StringVar(&f.dsn, "dsn", "", "connect to the console by certificate instead: host=… dbname=pgsignet sslcert=… sslkey=… sslrootcert=…")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	c.MarkFlagsMutuallyExclusive("socket", "dsn")
	return f
}

// resolve finds the socket in the configuration when no flag names the console. What else is wrong with the
// files is told only when they do not say it: a running broker may be steered with a broken file on the disk.
func (f *consoleFlags) resolve(stderr io.Writer) error {
	if f.socket != "" || f.dsn != "" {
		return nil
	}
	if f.socket = f.config.source().AdminSocket(); f.socket != "" {
		return nil
	}
	if _, err := loadForUse(f.config, stderr); err != nil {
		return errors.New("the configuration cannot say where the broker's socket is: name the right file with --config, or the socket with --socket")
	}
	return errors.New("the configuration has no admin { socket }: name one, or use --dsn")
}

// consoleConn is a connection to the console.
type consoleConn struct {
	conn    *pgconn.PgConn
	notices []string
}

// consoleTable is the answer to a command.
type consoleTable struct {
	Columns []string
	Numeric []bool
	Rows    [][]consoleValue
	Tag     string
}

type consoleValue struct {
	Text string
	Null bool
}

// dialConsole connects to the console. Only --dsn reads libpq's environment and files.
func dialConsole(ctx context.Context, f consoleFlags) (*consoleConn, error) {
	dsn := f.dsn
	if dsn == "" {
		dsn = "host=localhost user=cli dbname=pgsignet sslmode=disable"
	}
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	c := &consoleConn{}
	cfg.ConnectTimeout = 10 * time.Second
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { c.notices = append(c.notices, n.Message) }
	if f.dsn == "" {
		cfg.Host, cfg.Port, cfg.User, cfg.Database, cfg.Password = "localhost", 1, "cli", "pgsignet", ""
		cfg.TLSConfig, cfg.Fallbacks, cfg.RuntimeParams = nil, nil, map[string]string{"application_name": "pgsignet"}
		cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
		cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", f.socket)
		}
	}
	if c.conn, err = pgconn.ConnectConfig(ctx, cfg); err != nil {
		if f.dsn == "" {
			return nil, socketError(f.socket, err)
		}
		return nil, err
	}
	return c, nil
}

// socketError says what the socket answered, or why nobody did, without the address that pgconn thinks it
// has dialled.
func socketError(path string, err error) error {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return fmt.Errorf("%s: %w", path, refused)
	}
	cause := errors.Unwrap(err)
	if dial, ok := errors.AsType[*net.OpError](err); ok {
		cause = dial.Err
	}
	return fmt.Errorf("no broker answers on %s: %w", path, cause)
}

func (c *consoleConn) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.conn.Close(ctx) // it has told what it had to
}

// query runs one command by the simple protocol.
func (c *consoleConn) query(ctx context.Context, sql string) (*consoleTable, error) {
	t := &consoleTable{}
	results := c.conn.Exec(ctx, sql)
	for results.NextResult() {
		t.read(results.ResultReader())
	}
	if err := results.Close(); err != nil {
		if e, ok := errors.AsType[*pgconn.PgError](err); ok {
			return nil, fmt.Errorf("%s (SQLSTATE %s)", e.Message, e.Code)
		}
		return nil, err
	}
	return t, nil
}

// read takes over a result: its columns, which it has without a row, too, and its rows.
func (t *consoleTable) read(r *pgconn.ResultReader) {
	for _, f := range r.FieldDescriptions() {
		t.Columns = append(t.Columns, f.Name)
		t.Numeric = append(t.Numeric, f.DataTypeOID != 25)
	}
	for r.NextRow() {
		row := r.Values()
		values := make([]consoleValue, len(row))
		for i, v := range row {
			values[i] = consoleValue{Text: string(v), Null: v == nil}
		}
		t.Rows = append(t.Rows, values)
	}
	tag, _ := r.Close() // its error is that of all results
	t.Tag = tag.String()
}

// quoteConsole writes a string as the console reads it.
func quoteConsole(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// withConsole runs f with a connection to the console that the flags name.
func withConsole(cmd *cobra.Command, flags *consoleFlags, f func(ctx context.Context, c *consoleConn) error) error {
	if err := flags.resolve(cmd.ErrOrStderr()); err != nil {
		return err
	}
	ctx := cmd.Context()
	c, err := dialConsole(ctx, *flags)
	if err != nil {
		return err
	}
	defer c.close()
	err = f(ctx, c)
	for _, n := range c.notices {
		fmt.Fprintln(cmd.ErrOrStderr(), "notice:", n)
	}
	return err
}
