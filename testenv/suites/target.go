package suites

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// Target is a server to run a suite against: an address, a user and a client certificate. PostgreSQL
// and pgsignet differ in nothing else.
type Target struct {
	Name string // "direct", "session", "transaction"
	Host string
	Port string
	User string // superuser

	RootCert, Cert, Key string // files the server's user can read

	// Server is the PostgreSQL behind it all. The programs run as its user, who reads and writes the
	// same files as the server.
	Server *pgserver.Server
}

// Env is the target for a program that uses libpq.
func (t *Target) Env() []string {
	return []string{
		"PGHOST=" + t.Host, "PGPORT=" + t.Port, "PGUSER=" + t.User, "PGSSLMODE=verify-full",
		"PGSSLROOTCERT=" + t.RootCert, "PGSSLCERT=" + t.Cert, "PGSSLKEY=" + t.Key, "PGCONNECT_TIMEOUT=30",
	}
}

// Conninfo is the target as a connection string.
func (t *Target) Conninfo(database string) string {
	return fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=verify-full sslrootcert=%s sslcert=%s sslkey=%s",
		t.Host, t.Port, t.User, database, t.RootCert, t.Cert, t.Key)
}

// command is a program that talks to the target, run as the server's user.
func (t *Target) command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := t.Server.Command(ctx, path, args...)
	cmd.Env = append(cmd.Env, t.Env()...)
	return cmd
}

// CreateDatabase makes a database with the settings that pg_regress gives to one of its own.
func (t *Target) CreateDatabase(ctx context.Context, name string) error {
	database := pgserver.Quote(name)
	statements := []string{"CREATE DATABASE " + database + " TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"}
	for _, setting := range []string{"lc_messages TO 'C'", "lc_monetary TO 'C'", "lc_numeric TO 'C'", "lc_time TO 'C'",
		"bytea_output TO 'hex'", "timezone_abbreviations TO 'Default'"} {
		statements = append(statements, "ALTER DATABASE "+database+" SET "+setting)
	}
	for _, sql := range statements { // CREATE DATABASE refuses to be one of several statements
		if err := t.Server.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", strings.Fields(sql)[0], err)
		}
	}
	return nil
}
