package upstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// LoginCheckQuery asks a server, in its own session, whether the role could still log in and
// connect. One row with one boolean, or no row when the role is gone; anything but "t" means that
// the pool has to be retired and the server asked by a new login (W95). Every name is qualified, the
// operator too: the role's search_path has no say in it.
const LoginCheckQuery = "SELECT r.rolcanlogin AND pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CONNECT') " +
	"FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) SESSION_USER"

// queryRow runs one query on an idle connection and returns its only row as text; NULL is "".
func queryRow(ctx context.Context, pg *pgconn.PgConn, sql string, columns int) ([]string, error) {
	results, err := pg.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != columns {
		return nil, protocolError(fmt.Errorf("unexpected answer to %q", sql))
	}
	row := make([]string, columns)
	for i, value := range results[0].Rows[0] {
		row[i] = string(value)
	}
	return row, nil
}

// prove holds the server to the certificate: it asks under `trust` too, so that having been asked
// proves little. From PostgreSQL 16 on system_user tells how the session was authenticated (T71).
// It is asked at every login: a pg_hba.conf line may apply to one role or database, and may change.
func prove(ctx context.Context, pg *pgconn.PgConn) error {
	if majorVersion(pg.ParameterStatus("server_version")) < 16 {
		return nil
	}
	row, err := queryRow(ctx, pg, "SELECT system_user", 1)
	if err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(row[0], "cert:"):
		return nil
	case row[0] == "":
		return unproven(errors.New("system_user is NULL: a trust line in pg_hba.conf let the login in; it has to be cert"))
	default:
		method, _, _ := strings.Cut(row[0], ":")
		return unproven(fmt.Errorf("the server authenticated by %q; pg_hba.conf has to say cert", method))
	}
}

// majorVersion is the leading number of server_version; 0 when there is none.
func majorVersion(version string) int {
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(version)
	}
	n, err := strconv.Atoi(version[:end])
	if err != nil {
		return 0
	}
	return n
}
