package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/golden"
)

// Our own columns, in order, with their types: i int4, q int8, s text, N numeric. Those that are PgBouncer's
// are in TestConsoleColumnsArePgBouncers.
func TestConsoleColumns(t *testing.T) {
	b := Shared(t).startConsole(t, Options{})
	c := b.Console(t)
	b.Connect(t, b.World.Client("alice"), "alice", "orders")
	for _, tt := range []struct{ what, columns, types string }{
		{"SESSIONS", "id sid state pin role database map cert_subject cert_issuer cert_serial cert_sha256 cert_not_after spiffe addr port tls app pool_mode server_pid connect_time request_time statements bytes_in bytes_out", "isssssssssssssisssissqqq"},
		{"CERTS", "cert_sha256 cert_serial cert_issuer cert_subject spiffe cert_not_after revocation locked sessions refused last_seen", "ssssssssiqs"},
		{"MAPS", "position kind name source match roles databases sessions granted refused last_used", "issssssiqqs"},
		{"TRUST", "listener kind subject sha256 number not_before not_after entries status file", "sssssssiss"},
		{"LOCKS", "kind value issuer reason locked_by locked_at expires_at", "sssssss"},
	} {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeDescribeExec} {
			names, types, _ := columnsOf(t, c, tt.what, mode)
			if got := strings.Join(names, " "); got != tt.columns {
				t.Errorf("SHOW %s, %v: columns\n%s, want\n%s", tt.what, mode, got, tt.columns)
			}
			if got := strings.Join(types, ""); got != tt.types {
				t.Errorf("SHOW %s, %v: types %s, want %s", tt.what, mode, got, tt.types)
			}
		}
	}
}

// columnsOf are the names and types of a SHOW, and the values of its first column.
func columnsOf(t *testing.T, c *pgx.Conn, what string, mode pgx.QueryExecMode) (names, types, first []string) {
	t.Helper()
	oids := map[uint32]byte{23: 'i', 20: 'q', 25: 's', 1700: 'N'}
	rows, err := c.Query(context.Background(), "show "+strings.ToLower(what)+";", mode)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rows.FieldDescriptions() {
		if f.TableOID != 0 || f.TableAttributeNumber != 0 || f.TypeModifier != -1 {
			t.Errorf("SHOW %s: column %+v", what, f)
		}
		names, types = append(names, f.Name), append(types, string(oids[f.DataTypeOID]))
	}
	list, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		t.Errorf("SHOW %s, %v: %v", what, mode, err)
	}
	for _, r := range list {
		first = append(first, fmt.Sprint(r[names[0]]))
	}
	return names, types, first
}

// shapeOf is the shape of every SHOW that PgBouncer has: columns and types, and the names of the rows
// where those are fixed.
func shapeOf(t *testing.T, c *pgx.Conn, mode pgx.QueryExecMode) string {
	t.Helper()
	var text strings.Builder
	for what := range strings.FieldsSeq("CLIENTS SERVERS SOCKETS ACTIVE_SOCKETS POOLS DATABASES USERS STATS STATS_TOTALS STATS_AVERAGES" +
		" TOTALS LISTS CONFIG STATE VERSION MEM PEERS PEER_POOLS DNS_HOSTS DNS_ZONES" +
		" client_encoding default_transaction_isolation standard_conforming_strings datestyle timezone") {
		names, types, first := columnsOf(t, c, what, mode)
		fmt.Fprintf(&text, "SHOW %s\n", what)
		for i, name := range names {
			fmt.Fprintf(&text, "  %s %s\n", types[i], name)
		}
		if slices.Contains([]string{"TOTALS", "LISTS", "STATE"}, what) {
			fmt.Fprintf(&text, "  rows: %s\n", strings.Join(first, " "))
		}
	}
	return text.String()
}

// Every SHOW of PgBouncer has its columns and types here, in both protocols. The file was written by
// PgBouncer 1.24.1; PGBOUNCER=path compares it with another one, and -update takes that one's.
func TestConsoleColumnsArePgBouncers(t *testing.T) {
	const file = "testdata/pgbouncer-show.golden"
	if path := os.Getenv("PGBOUNCER"); path != "" {
		golden.String(t, file, shapeOf(t, startPgBouncer(t, path), pgx.QueryExecModeSimpleProtocol))
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b := Shared(t).startConsole(t, Options{})
	c := b.Console(t)
	b.Connect(t, b.World.Client("alice"), "alice", "orders")
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeDescribeExec} {
		got := strings.Split(shapeOf(t, c, mode), "\n")
		for i, line := range strings.Split(string(want), "\n") {
			if i >= len(got) || got[i] != line {
				t.Fatalf("%v: line %d of %s is %q, the console has %q", mode, i+1, file, line, got[min(i, len(got)-1):][0])
			}
		}
	}
}

// startPgBouncer runs a PgBouncer without a server and returns a connection to its console.
func startPgBouncer(t *testing.T, path string) *pgx.Conn {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := freePort(t)
	ini := fmt.Sprintf("[databases]\norders = host=127.0.0.1 port=1\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\n"+
		"unix_socket_dir =\nauth_type = any\nadmin_users = x\n", port)
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "ini"), []byte(ini), 0o644)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, filepath.Join(dir, "ini"))
	if os.Getuid() == 0 { // it refuses root
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var c *pgx.Conn
	Poll(t, "PgBouncer to answer", func() bool {
		c, err = pgx.Connect(context.Background(), fmt.Sprintf("host=127.0.0.1 port=%d user=x dbname=pgbouncer sslmode=disable", port))
		return err == nil
	})
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}
