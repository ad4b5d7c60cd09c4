package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

// replicator may open replication connections, at the server and by the broker's map.
const replicator = "replicator"

func newPublisher(t *testing.T, version int) (*world, *Target) {
	t.Helper()
	if _, err := os.Stat(psqlProgram); err != nil {
		skip(t, fmt.Errorf("%w (Debian package postgresql-client-15)", err))
	}
	w := newWorld(t, version, map[string]string{"wal_level": "logical"})
	if err := w.server.CreateRole(t.Context(), replicator, "REPLICATION"); err != nil {
		t.Fatal(err)
	}
	return w, w.at(t, "session", w.broker(t, "session").Addr, replicator, w.client(replicator))
}

func TestBaseBackup(t *testing.T) {
	_, target := newPublisher(t, 15) // pg_basebackup refuses a server newer than itself
	dir := filepath.Join(t.TempDir(), "backup")
	run(t, target, "pg_basebackup", "-D", dir, "-X", "stream", "--checkpoint=fast")
	run(t, target, "pg_verifybackup", dir)
}

// TestSubscription lets a second server follow a table through the broker: first a copy, then changes.
func TestSubscription(t *testing.T) {
	for _, version := range []int{15, 18} {
		t.Run(fmt.Sprintf("PostgreSQL %d", version), func(t *testing.T) { subscribe(t, version) })
	}
}

func subscribe(t *testing.T, version int) {
	w, target := newPublisher(t, version)
	subscriber := pgserver.Start(t, pgserver.Options{Version: version})
	const table = "CREATE TABLE followed (id int PRIMARY KEY)"
	for _, sql := range []string{table, "INSERT INTO followed VALUES (1)", "GRANT SELECT ON followed TO " + replicator, "CREATE PUBLICATION p FOR TABLE followed"} {
		if err := w.server.ExecIn(t.Context(), role, sql); err != nil {
			t.Fatal(err)
		}
	}
	subscriber.MustExec(t, table)
	subscriber.MustExec(t, fmt.Sprintf("CREATE SUBSCRIPTION s CONNECTION '%s' PUBLICATION p", conninfo(t, subscriber, target)))
	followed := func(want string) func() bool {
		return func() bool {
			got, err := subscriber.QueryString(t.Context(), "SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '') FROM followed")
			if err != nil {
				t.Fatal(err)
			}
			return got == want
		}
	}
	poll.Until(t, "the table to be copied", followed("1"))
	if err := w.server.ExecIn(t.Context(), role, "INSERT INTO followed VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "a change to arrive", followed("1,2"))
	subscriber.MustExec(t, "DROP SUBSCRIPTION s") // drops the slot through the broker, too
}

// conninfo is the target for a server, whose user must be able to read the files.
func conninfo(t *testing.T, s *pgserver.Server, target *Target) string {
	t.Helper()
	paths := map[string]string{}
	for name, from := range map[string]string{"root.crt": target.RootCert, "client.crt": target.Cert, "client.key": target.Key} {
		pem, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if paths[name], err = s.WriteFile(name, pem); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("host=localhost port=%s user=%s dbname=%s sslmode=verify-full sslrootcert=%s sslcert=%s sslkey=%s",
		target.Port, target.User, target.Database, paths["root.crt"], paths["client.crt"], paths["client.key"])
}
