package sink

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

// The table holds every line byte for byte, once, although the server ends the connection and the
// cursor is lost.
func TestPostgres(t *testing.T) {
	server := pgserver.Start(t, pgserver.Options{})
	ctx := t.Context()
	server.MustExec(t, "CREATE SCHEMA IF NOT EXISTS audit")
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte(server.SuperuserDSN("postgres")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	table := fmt.Sprintf("audit.access_%d", time.Now().UnixNano())
	defer func() { server.MustExec(t, "DROP TABLE "+table) }()
	pg, err := NewPostgres(dsn, table)
	if err != nil {
		t.Fatal(err)
	}
	l, dir := openLog(t, audit.Config{})
	once := func() {
		t.Helper()
		if err := newSink(t, Config{Directory: dir, Log: l, Name: "postgres"}, pg).Once(ctx); err != nil {
			t.Fatal(err)
		}
	}
	durable := func(r *audit.Record) {
		t.Helper()
		if err := l.AppendDurable(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1500 {
		if err := l.Append(statement(i)); err != nil {
			t.Fatal(err)
		}
	}
	nasty := "a\x00\n\u2028'\\\xff\t\x1b"
	durable(&audit.Record{Event: audit.SessionDenied, SID: nasty, Cert: &audit.Cert{SHA256: "ff", CN: nasty},
		Requested: &audit.Requested{User: nasty, Database: "a\x00b"}, Denial: &audit.Denial{Reason: "no_map", SQLState: "28000"}})
	once()
	durable(statement(1500))
	server.MustExec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgsignet audit'")
	once()
	os.Remove(filepath.Join(dir, "sink-postgres.cursor")) // at least once: all of it again
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	once()

	conn := server.SuperuserConn(t)
	rows, err := conn.Query(ctx, "SELECT seq, line, coalesce(role, ''), coalesce(sqlstate, '') FROM "+table+" ORDER BY stream, seq")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := written(t, dir)
	n := 0
	for rows.Next() {
		var seq int64
		var line, role, state string
		if err := rows.Scan(&seq, &line, &role, &state); err != nil {
			t.Fatal(err)
		}
		if n >= len(all) || seq != int64(n+1) || line != all[n] {
			t.Fatalf("row %d: seq %d, %.120q", n+1, seq, line)
		}
		n++
	}
	if n != len(all) || rows.Err() != nil {
		t.Errorf("%d rows, %d lines (%v)", n, len(all), rows.Err())
	}
}

// A row that is there already and is not the record's stays, and is told of: its place, and how many there are.
// What is there as it was written is not.
func TestPostgresTellsOfOtherRows(t *testing.T) {
	server := pgserver.Start(t, pgserver.Options{})
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte(server.SuperuserDSN("postgres")), 0o600); err != nil {
		t.Fatal(err)
	}
	table := fmt.Sprintf("differs_%d", time.Now().UnixNano())
	defer func() { server.MustExec(t, "DROP TABLE "+table) }()
	pg, err := NewPostgres(dsn, table)
	if err != nil {
		t.Fatal(err)
	}
	l, dir := openLog(t, audit.Config{})
	for i := range 20 {
		if err := l.Append(statement(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var told []Differing
	again := func() Stats {
		t.Helper()
		told = nil
		os.Remove(filepath.Join(dir, "sink-test.cursor"))
		s := newSink(t, Config{Directory: dir, Lines: 10, Differs: func(d *Differing) { told = append(told, *d) }}, pg)
		if err := s.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s.Stats()
	}
	again()
	if st := again(); st.Differing != 0 || len(told) != 0 {
		t.Errorf("lines that are there as written: %d differ, told %v", st.Differing, told)
	}
	server.MustExec(t, "UPDATE "+table+" SET line = replace(line, 'select 2', 'select 3') WHERE seq = 4; UPDATE "+table+" SET role = NULL WHERE seq = 7; DELETE FROM "+table+" WHERE seq = 12")
	var stream string
	if err := server.SuperuserConn(t).QueryRow(t.Context(), "SELECT min(stream) FROM "+table).Scan(&stream); err != nil {
		t.Fatal(err)
	}
	if st, want := again(), (Differing{Lines: 2, Stream: stream, Seq: 4}); st.Differing != 2 || st.Delivered != 22 || len(told) != 1 || told[0] != want {
		t.Errorf("stats %+v, told %v, want 2 of 22 lines and %v", st, told, want)
	}
}

func TestPostgresSaysWhatIsWrong(t *testing.T) {
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte("host=/nowhere"), 0o644); err != nil {
		t.Fatal(err)
	}
	pg, err := NewPostgres(dsn, "t")
	if err != nil {
		t.Fatal(err)
	}
	if err := pg.Deliver(context.Background(), []Line{{}}); err == nil {
		t.Error("a DSN that others can read is taken")
	}
	if _, err := NewPostgres("", "t"); err == nil {
		t.Error("no dsn_file: no error")
	}
}

// No password of a DSN is in an error, whatever is wrong with it.
func TestPostgresKeepsTheDSNSecret(t *testing.T) {
	for _, text := range []string{
		"postgres://auditor:top:sec/ret@db:port/x", "host=db port=zero password=sec'ret", "postgres://auditor:sec%zzret@db/x",
		"host=127.0.0.1 port=1 user=auditor password=secret connect_timeout=1", "password = 'sec ret' sslmode=perhaps",
		`host=db password=top\ secret port=x`, "postgres://u@db/x?password=secret&port=zz", "postgres://u@db/x?password=sec%zz",
		"postgres://u:p@top@secret@db:x/y", "postgres://u:top secret@db/y", `host=db password='top\'secret' port=x`, "password=secret'",
	} {
		dsn := filepath.Join(t.TempDir(), "dsn")
		if err := os.WriteFile(dsn, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		pg, err := NewPostgres(dsn, "t")
		if err != nil {
			t.Fatal(err)
		}
		err = pg.Deliver(t.Context(), []Line{{}})
		if err == nil || strings.Contains(err.Error(), "sec") || strings.Contains(err.Error(), "top") {
			t.Errorf("%s: error %v, want one without the password", text, err)
		}
	}
}

// A line that somebody has damaged is not in the way of all that follow.
func TestPostgresTakesADamagedLine(t *testing.T) {
	server := pgserver.Start(t, pgserver.Options{})
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte(server.SuperuserDSN("postgres")), 0o600); err != nil {
		t.Fatal(err)
	}
	table := fmt.Sprintf("damaged_%d", time.Now().UnixNano())
	defer func() { server.MustExec(t, "DROP TABLE "+table) }()
	pg, err := NewPostgres(dsn, table)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close()
	var lines []Line
	for i, text := range []string{"{\"a\":\"\x00\xff\"}", "{}", "\x00"} {
		lines = append(lines, Line{Stream: "s", Seq: int64(i + 1), Event: "st\x00\xff", Text: []byte(text)})
	}
	if err := pg.Deliver(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
}

// Whatever happens to the table or the connection, the sink waits, says so, and has every line in the table
// once it is mended.
func TestPostgresMends(t *testing.T) {
	server := pgserver.Start(t, pgserver.Options{})
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte(server.SuperuserDSN("postgres")), 0o600); err != nil {
		t.Fatal(err)
	}
	table := fmt.Sprintf("mends_%d", time.Now().UnixNano())
	pg, err := NewPostgres(dsn, table)
	if err != nil {
		t.Fatal(err)
	}
	l, dir := openLog(t, audit.Config{})
	s := newSink(t, Config{Directory: dir, Log: l, Every: 10 * time.Millisecond, Retry: 50 * time.Millisecond}, pg)
	stop := start(t, s)
	defer server.MustExec(t, "DROP TABLE IF EXISTS "+table)
	defer stop()
	conn := server.SuperuserConn(t)
	rows := func() (n int) {
		conn.QueryRow(t.Context(), "SELECT count(DISTINCT line) FROM "+table+" WHERE event = 'statement'").Scan(&n)
		return n
	}
	poll.Until(t, "a delivery", func() bool { return s.Stats().Delivered > 0 })
	want := 0
	for _, harm := range []struct{ name, do, undo string }{
		{"a column that must not be null", "ALTER TABLE %s ADD extra int, ADD CHECK (extra IS NOT NULL) NOT VALID", "ALTER TABLE %s DROP extra"},
		{"a column is missing", "ALTER TABLE %s RENAME line TO text", "ALTER TABLE %s RENAME text TO line"},
		{"no key", "ALTER TABLE %[1]s DROP CONSTRAINT %[1]s_pkey", "ALTER TABLE %s ADD PRIMARY KEY (stream, seq)"},
		{"the table is elsewhere", "ALTER TABLE %[1]s RENAME TO elsewhere; CREATE VIEW %[1]s AS SELECT 1", "DROP VIEW %[1]s; ALTER TABLE elsewhere RENAME TO %[1]s"},
	} {
		server.MustExec(t, fmt.Sprintf(harm.do, table))
		before := s.Stats().Failures
		for range 3 {
			if err := l.AppendDurable(t.Context(), statement(want)); err != nil {
				t.Fatal(err)
			}
			want++
		}
		poll.Until(t, "a failure", func() bool { return s.Stats().Failures > before })
		if err := s.Stats().Error; err == nil {
			t.Errorf("%s: no error is shown", harm.name)
		}
		server.MustExec(t, fmt.Sprintf(harm.undo, table))
		server.MustExec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgsignet audit'")
		poll.Until(t, "every row", func() bool { return rows() == want })
	}
}

// A server that is killed under a sink, as when its machine dies, has every line once it runs again: a batch
// is there or will be sent again. So it is with a role that loses its right to insert and gets it back.
func TestPostgresComesBack(t *testing.T) {
	server := pgserver.Start(t, pgserver.Options{HBA: []string{"local all all trust"}}) // one of its own, to be killed
	table := fmt.Sprintf("back_%d", time.Now().UnixNano())
	role := table + "_writer"
	server.MustExec(t, "CREATE ROLE "+role+" LOGIN; "+fmt.Sprintf(tableDDL, table)+"; GRANT SELECT, INSERT ON "+table+" TO "+role)
	defer server.MustExec(t, "DROP TABLE "+table+"; DROP ROLE "+role)
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte(strings.Replace(server.SuperuserDSN("postgres"), "user="+pgserver.Superuser, "user="+role, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	pg, err := NewPostgres(dsn, table)
	if err != nil {
		t.Fatal(err)
	}
	l, dir := openLog(t, audit.Config{})
	s := newSink(t, Config{Directory: dir, Log: l, Every: 5 * time.Millisecond, Retry: 50 * time.Millisecond, Lines: 20}, pg)
	stop := start(t, s)
	defer stop()
	want := 0
	record := func(n int) {
		for range n {
			if err := l.Append(statement(want)); err != nil {
				t.Fatal(err)
			}
			want++
		}
		if err := l.AppendDurable(t.Context(), statement(want)); err != nil {
			t.Fatal(err)
		}
		want++
	}
	arrived := func(what string) {
		t.Helper()
		conn := server.SuperuserConn(t)
		n, texts := 0, 0
		poll.Until(t, "WHAT", func() bool {
			err := conn.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT line::json #>> '{stmt,text}') FROM "+table+" WHERE event = 'statement'").Scan(&n, &texts)
			return err == nil && n >= want
		})
		if n != want || texts != want {
			t.Errorf("%s: %d lines of %d statements, want %d", what, n, texts, want)
		}
	}
	for range 3 {
		before := s.Stats()
		record(400) // twenty batches, so that the kill comes between some of them
		poll.Until(t, "a delivery", func() bool { return s.Stats().Delivered > before.Delivered })
		if err := server.Stop(t.Context(), pgserver.Kill); err != nil {
			t.Fatal(err)
		}
		record(50)
		poll.Until(t, "a failure", func() bool { return s.Stats().Failures > before.Failures })
		if err := server.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		arrived("killed")
	}
	server.MustExec(t, "REVOKE INSERT ON "+table+" FROM "+role)
	record(5)
	poll.Until(t, "WHAT", func() bool {
		err := s.Stats().Error
		return err != nil && strings.Contains(err.Error(), "permission denied")
	})
	server.MustExec(t, "GRANT INSERT ON "+table+" TO "+role)
	arrived("revoked and granted")
	poll.Until(t, "the destination to work again", func() bool { return s.Stats().Error == nil })
}
