package pgserver

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
)

// SuperuserDSN connects as the superuser: over the unix socket, or as PGSIGNET_TEST_DSN says.
func (s *Server) SuperuserDSN(database string) string {
	if s.external != "" {
		return withDatabase(s.external, database)
	}
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable", s.SocketDir, s.Port, Superuser, quoteDSN(database))
}

// DSN connects to the TCP port as role, without any TLS parameter: add sslmode, sslcert, sslkey,
// sslrootcert behind it.
func (s *Server) DSN(role, database string) string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%s", s.Host, s.Port, quoteDSN(role), quoteDSN(database))
}

// Addr is host:port of the TCP listener.
func (s *Server) Addr() string { return fmt.Sprintf("%s:%d", s.Host, s.Port) }

func quoteDSN(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

func withDatabase(dsn, database string) string {
	if u, err := url.Parse(dsn); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		u.Path = "/" + database
		return u.String()
	}
	return dsn + " dbname=" + quoteDSN(database)
}

// Connect opens a superuser's connection to a database. The caller closes it.
func (s *Server) Connect(ctx context.Context, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, s.SuperuserDSN(database))
}

// Exec runs statements, separated by semicolons, as the superuser in database "postgres".
func (s *Server) Exec(ctx context.Context, sql string) error {
	return s.ExecIn(ctx, "postgres", sql)
}

// ExecIn runs statements as the superuser in the given database.
func (s *Server) ExecIn(ctx context.Context, database, sql string) error {
	conn, err := s.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// QueryString returns the single value of a query, run as the superuser in database "postgres", as text.
func (s *Server) QueryString(ctx context.Context, sql string, args ...any) (string, error) {
	conn, err := s.Connect(ctx, "postgres")
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var value string
	args = append([]any{pgx.QueryExecModeSimpleProtocol}, args...)
	err = conn.QueryRow(ctx, sql, args...).Scan(&value)
	return value, err
}

// CreateRole makes a role that may log in, with more attributes if given ("SUPERUSER", "REPLICATION").
func (s *Server) CreateRole(ctx context.Context, name string, attributes ...string) error {
	return s.Exec(ctx, fmt.Sprintf("CREATE ROLE %s LOGIN %s", Quote(name), strings.Join(attributes, " ")))
}

// CreateDatabase makes a database that belongs to owner; an empty owner means the superuser.
func (s *Server) CreateDatabase(ctx context.Context, name, owner string) error {
	if owner == "" {
		owner = Superuser
	}
	return s.Exec(ctx, fmt.Sprintf("CREATE DATABASE %s OWNER %s", Quote(name), Quote(owner)))
}

// Quote is an SQL identifier.
func Quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// Reload makes the server read its files again, and returns when it has: the time of the last
// load is its own.
func (s *Server) Reload(ctx context.Context) error {
	conn, err := s.Connect(ctx, "postgres")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	const loaded = "SELECT pg_conf_load_time()::text"
	var before string
	if err := conn.QueryRow(ctx, loaded).Scan(&before); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	return poll(ctx, func() bool {
		var now string
		err := conn.QueryRow(ctx, loaded).Scan(&now)
		return err == nil && now != before
	})
}
