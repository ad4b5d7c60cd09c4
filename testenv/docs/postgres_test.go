package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/e2e"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// blockFor is the block of that kind that a PostgreSQL of this major version takes: the one for the
// newest version up to it, or the one that names none.
func blockFor(t *testing.T, major int, lang, name string) Block {
	t.Helper()
	var best Block
	from := -1
	for _, b := range document(t, "README.md").Blocks {
		if !b.Is(lang, name) {
			continue
		}
		least := 0
		if len(b.Args) > 1 {
			least, _ = strconv.Atoi(b.Args[1]) // no number: any version
		}
		if least <= major && least > from {
			best, from = b, least
		}
	}
	if from < 0 {
		t.Fatalf("README.md has no %s %s for PostgreSQL %d", lang, name, major)
	}
	return best
}

func linesOf(b Block) []string { return strings.Split(strings.TrimSpace(b.Text), "\n") }

// walk is a reader who follows the README in an empty folder.
type walk struct {
	dir   string
	world *e2e.World
	pg    *pgserver.Server
}

// sh runs commands as they stand, with pgsignet on the path.
func (w *walk) sh(t *testing.T, commands string) string {
	t.Helper()
	cmd := exec.Command("sh", "-e", "-c", commands)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(w.world.Binary())+":"+os.Getenv("PATH"), "LC_ALL=C", "PGCONNECT_TIMEOUT=10")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", commands, err, out)
	}
	return string(out)
}

func (w *walk) path(name string) string { return filepath.Join(w.dir, name) }

// follow runs the commands and writes the files of the README, in its order.
func (w *walk) follow(t *testing.T) {
	t.Helper()
	for _, b := range document(t, "README.md").Blocks {
		switch {
		case b.Is("sh", "run"):
			w.sh(t, b.Text)
		case b.Lang == "hcl" && len(b.Args) > 0:
			if err := os.WriteFile(w.path(b.Args[0]), []byte(b.Text), 0o600); err != nil {
				t.Fatal(err)
			}
			w.sh(t, "pgsignet fmt --check "+b.Args[0])
		}
	}
}

// startPostgres runs a server with the README's files, then the README's SQL.
func (w *walk) startPostgres(t *testing.T, major int) {
	t.Helper()
	ca := "broker-ca.crt"
	for _, line := range linesOf(block(t, "README.md", "conf", "postgresql.conf")) {
		if strings.HasPrefix(line, "ssl_ca_file") && !strings.Contains(line, ca) {
			t.Errorf("the README's ssl_ca_file is not %s: %s", ca, line)
		}
	}
	w.pg = pgserver.Start(t, pgserver.Options{
		Version: major,
		TLS:     pgserver.TLS{Cert: w.path("pki/postgres.crt"), Key: w.path("pki/postgres.key"), CA: w.path("pki/" + ca)},
		HBA:     linesOf(blockFor(t, major, "conf", "pg_hba.conf")),
		Ident:   linesOf(blockFor(t, major, "conf", "pg_ident.conf")),
	})
	for _, b := range document(t, "README.md").Blocks {
		if b.Lang != "sql" || len(b.Args) > 0 && b.Args[0] > fmt.Sprint(major) {
			continue
		}
		for statement := range strings.SplitSeq(b.Text, ";\n") {
			if err := w.pg.Exec(context.Background(), statement); err != nil {
				t.Fatalf("%s:%d: %s: %v", b.Doc, b.Line, statement, err)
			}
		}
	}
}

// serve runs the README's configuration against that server, on a free port.
func (w *walk) serve(t *testing.T) *e2e.Broker {
	t.Helper()
	config, err := os.ReadFile(w.path("pgsignet.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("127.0.0.1:6432", "127.0.0.1:0", "localhost:5432", fmt.Sprintf("localhost:%d", w.pg.Port)).Replace(string(config))
	if err := os.WriteFile(w.path("pgsignet.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w.world.StartConfig(t, w.path("pgsignet.hcl"))
}

// psqlLine is the README's last step.
func psqlLine(t *testing.T) string {
	t.Helper()
	for _, b := range document(t, "README.md").Blocks {
		for _, line := range linesOf(b) {
			if b.Is("sh", "pasted") && strings.HasPrefix(line, "psql ") {
				return line
			}
		}
	}
	t.Fatal("the README shows no psql line")
	return ""
}

// TestREADMEWorksWhenPasted follows the README from its certificates to psql, with the oldest and the
// newest PostgreSQL.
func TestREADMEWorksWhenPasted(t *testing.T) {
	for _, major := range []int{15, 18} {
		t.Run(fmt.Sprint("PostgreSQL ", major), func(t *testing.T) {
			w := &walk{dir: t.TempDir(), world: e2e.Shared(t)}
			w.follow(t)
			w.startPostgres(t, major)
			checkFiles(t, w.pg)
			b := w.serve(t)
			line := strings.Replace(psqlLine(t), "port=6432", "port="+b.Port(), 1)
			if out := w.sh(t, line+` -X -A -t -c "select current_user, session_user, current_database()"`); strings.TrimSpace(out) != "alice|alice|orders" {
				t.Errorf("psql prints %q", out)
			}
			refused := strings.Replace(line, "user=alice", "user=postgres", 1)
			if out := w.sh(t, "! "+refused+" -X -c 'select 1'"); !strings.Contains(out, "FATAL:  certificate not admitted (session ") {
				t.Errorf("psql as postgres prints %q", out)
			}
			b.Records("session.denied", 1)
			checkNoOtherWay(t, w)
		})
	}
}

// checkFiles asks the server what it read: no error, and the reject line at the end.
func checkFiles(t *testing.T, pg *pgserver.Server) {
	t.Helper()
	conn := pg.SuperuserConn(t)
	for _, view := range []string{"pg_hba_file_rules", "pg_ident_file_mappings"} {
		if n := query[int](t, conn, "select count(*) from "+view+" where error is null"); n == 0 {
			t.Errorf("%s is empty", view)
		}
		if errs := query[string](t, conn, "select coalesce(string_agg(error, '; '), '') from "+view); errs != "" {
			t.Errorf("%s: %s", view, errs)
		}
	}
	last := query[string](t, conn, "select concat_ws(' ', type, database, user_name, address, auth_method) from pg_hba_file_rules order by line_number desc limit 1")
	if last != "host {all,replication} {all} all reject" {
		t.Errorf("the last line is %q", last)
	}
	names := linesOf(block(t, "README.md", "conf", "postgresql.conf"))
	for _, line := range names {
		name := strings.TrimSpace(strings.SplitN(line, "=", 2)[0])
		if query[int](t, conn, "select count(*) from pg_settings where name = '"+name+"'") != 1 {
			t.Errorf("postgresql.conf: no setting %q", name)
		}
	}
}

func query[T any](t *testing.T, conn *pgx.Conn, sql string) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(context.Background(), sql, pgx.QueryExecModeExec).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// checkNoOtherWay tries what the README says is shut: a brokered role without the broker's
// certificate, a role outside the group and a superuser with it, replication without it.
func checkNoOtherWay(t *testing.T, w *walk) {
	t.Helper()
	w.pg.MustExec(t, "CREATE ROLE outsider LOGIN; CREATE ROLE chief LOGIN SUPERUSER")
	broker := []string{"sslmode=verify-full", "sslrootcert=" + w.path("pki/servers-ca.crt"),
		"sslcert=" + w.path("pki/broker.crt"), "sslkey=" + w.path("pki/broker.key")}
	server := fmt.Sprintf("host=localhost port=%d", w.pg.Port)
	for _, tt := range []struct {
		name, role string
		options    []string
		ok         bool
	}{
		{"the broker as alice", "alice", broker, true},
		{"the broker as a role outside the group", "outsider", broker, false},
		{"the broker as a superuser", "chief", broker, false},
		{"alice without a certificate", "alice", []string{"sslmode=require"}, false},
		{"alice in plaintext", "alice", []string{"sslmode=disable"}, false},
		{"replication in plaintext", "chief", []string{"sslmode=disable", "replication=true"}, false},
	} {
		dsn := strings.Join(slices.Concat([]string{server, "dbname=orders", "user=" + tt.role}, tt.options), " ")
		conn, err := pgx.Connect(context.Background(), dsn)
		if err == nil {
			conn.Close(context.Background())
		}
		if (err == nil) != tt.ok {
			t.Errorf("%s: got in = %v (%v), want %v", tt.name, err == nil, err, tt.ok)
		}
	}
}
