package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// What becomes of a way around read_only.
const (
	brokerRefuses = "the broker refuses"            // ERROR 25006 before it takes effect
	serverRefuses = "PostgreSQL refuses"            // the switch had no effect: the INSERT is 25006
	sessionEnds   = "the session ends"              // FATAL 25006; nothing was written
	writtenEnds   = "written, and the session ends" // a request that was already sent ran before the end
	written       = "written"
)

// bypasses are the known ways around read_only, with what becomes of each: the table in
// docs/configuration.md. Every step is a round trip of its own.
var bypasses = []struct {
	name  string
	steps []any // a Query's text, or raw messages
	want  string
}{
	{"INSERT", []any{insertRow}, serverRefuses},
	{"COPY FROM", []any{"copy ro from stdin"}, serverRefuses},
	{"nextval", []any{"select nextval('ro_seq')"}, serverRefuses},
	{"SET default_transaction_read_only", []any{"set default_transaction_read_only = off", insertRow}, brokerRefuses},
	{"SET … TO DEFAULT", []any{"set default_transaction_read_only to default", insertRow}, brokerRefuses},
	{"RESET default_transaction_read_only", []any{"reset default_transaction_read_only", insertRow}, brokerRefuses},
	{"SET SESSION CHARACTERISTICS", []any{"set session characteristics as transaction read write", insertRow}, brokerRefuses},
	{"BEGIN READ WRITE", []any{"begin read write", insertRow, "commit"}, brokerRefuses},
	{"START TRANSACTION", []any{"start transaction isolation level serializable, read /**/ write", insertRow, "commit"}, brokerRefuses},
	{"SET TRANSACTION READ WRITE", []any{"begin", "set transaction read write", insertRow, "commit"}, brokerRefuses},
	{"SET transaction_read_only", []any{"begin", "set transaction_read_only = off", insertRow, "commit"}, brokerRefuses},
	{"SET LOCAL", []any{"begin; set local transaction_read_only = 0; " + insertRow + "; commit"}, brokerRefuses},
	{"set_config of the transaction", []any{"begin", "select set_config('transaction_read_only', 'off', true)", insertRow, "commit"}, brokerRefuses},
	{"set_config of the default", []any{"select set_config('default_transaction_read_only', 'off', false)", insertRow}, brokerRefuses},
	{"spelled in Unicode", []any{`select U&"set\005Fconfig"(E'default_transaction_read\x5fonly', 'off', false)`, insertRow}, brokerRefuses},
	{"RESET ALL with more", []any{"reset all; commit; " + insertRow}, brokerRefuses},
	{"RESET ALL", []any{"reset all", insertRow}, serverRefuses},
	{"DISCARD ALL", []any{"discard all", insertRow}, serverRefuses},
	{"RESET ALL with an INSERT behind it", []any{join(Query("reset all"), Query(insertRow))}, serverRefuses},
	{"DISCARD ALL with an INSERT behind it", []any{join(Query("discard all"), Query(insertRow))}, serverRefuses},
	{"RESET ALL in a block", []any{"begin", "reset all", "commit", insertRow}, brokerRefuses},
	{"RESET ALL by Parse", []any{join(extended("reset all"), extended(insertRow))}, brokerRefuses},
	{"SET by Parse", []any{join(extended("set default_transaction_read_only = off"), extended(insertRow))}, brokerRefuses},
	{"more than 256 KiB", []any{"begin read write /*" + strings.Repeat("x", 256<<10) + "*/", insertRow, "commit"}, brokerRefuses},
	{"UPDATE pg_settings", []any{"update pg_settings set setting = 'off' where name = 'default_transaction_read_only'", insertRow}, serverRefuses},
	{"ALTER ROLE", []any{"alter role alice set default_transaction_read_only = off", insertRow}, brokerRefuses},
	{"SQL PREPARE", []any{"prepare p as " + insertRow, "execute p"}, serverRefuses},
	{"query_to_xml of the transaction", []any{"begin", `select query_to_xml('select set_config(''transaction_read_only'', ''off'', true)', true, true, '')`, insertRow, "commit"}, serverRefuses},
	{"query_to_xml of the default", []any{`select query_to_xml('select set_config(''default_transaction_read_only'', ''off'', false)', true, true, '')`, insertRow}, sessionEnds},
	{"a name put together", []any{"select set_config('default_transaction_' || 'read_only', 'off', false)", insertRow}, sessionEnds},
	{"DO with the default", []any{"do $$ begin perform set_config('default_transaction_read_only', 'off', false); end $$", insertRow}, sessionEnds},
	{"a function of the client's", []any{"select public.ro_switch()", insertRow}, sessionEnds},
	{"FunctionCall of set_config", []any{callSetConfig(), insertRow}, sessionEnds},
	{"DO with an INSERT behind it", []any{join(Query("do $$ begin perform set_config('default_transaction_read_only', 'off', false); end $$"), Query(insertRow))}, writtenEnds},
	{"DO with a transaction of its own", []any{"do $$ begin commit; set transaction read write; insert into ro values (100); end $$"}, written},
	{"CALL of a procedure with a transaction of its own", []any{"call public.ro_write()"}, written},
}

// insertRow writes 100, for which tryBypass puts the number of the way.
const insertRow = "insert into ro values (100)"

func join(messages ...[]byte) []byte { return bytes.Join(messages, nil) }

func extended(sql string) []byte {
	return join(Msg('P', "\x00"+sql+"\x00\x00\x00"), Msg('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), Msg('E', "\x00\x00\x00\x00\x00"), Msg('S', ""))
}

// callSetConfig is a FunctionCall of set_config (OID 2078 in pg_proc.dat).
func callSetConfig() []byte {
	b := binary.BigEndian.AppendUint32(nil, 2078)
	b = append(b, 0, 1, 0, 1, 0, 3) // all arguments binary
	for _, arg := range []string{"default_transaction_read_only", "off", "\x00"} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(arg))), arg...)
	}
	return Msg('F', string(append(b, 0, 1)))
}

// W93: the known ways around read_only, each with its result.
func TestW93ReadOnlyBypasses(t *testing.T) {
	onEach(t, expectW93ReadOnlyBypasses)
}

func expectW93ReadOnlyBypasses(t *testing.T, w *World) {
	w.Exec(t, "orders", `
		drop table if exists public.ro; create table public.ro (n int); grant all on public.ro to public;
		drop sequence if exists public.ro_seq; create sequence public.ro_seq; grant all on public.ro_seq to public;
		create or replace function public.ro_switch() returns void language plpgsql as
			$$ begin perform set_config('default_transaction_read_only', 'off', false); end $$;
		create or replace procedure public.ro_write() language plpgsql as
			$$ begin commit; set transaction read write; insert into public.ro values (100); end $$`)
	rows := func(n int) int {
		conn, err := w.PG.Connect(context.Background(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		return one[int](t, conn, fmt.Sprintf("select count(*) from public.ro where n in (100, %d)", n))
	}
	bothModes(t, func(t *testing.T, mode string) {
		b := w.Start(t, Options{Pool: "size = 2", Rules: ruled(mode, "session { read_only = true }")})
		for i, tt := range bypasses {
			n := 101 + i // of its own: what was sent ahead may be written behind the end
			before := rows(n)
			refused, fatal, last := tryBypass(t, b, tt.steps, n)
			wrote := rows(n) > before
			got := written
			switch {
			case wrote && fatal:
				got = writtenEnds
			case fatal:
				got = sessionEnds
			case wrote:
			case refused:
				got = brokerRefuses
			default:
				got = serverRefuses
			}
			if tt.want == writtenEnds && got == sessionEnds {
				got = writtenEnds // whether the end or the request is faster is not promised
			}
			if got != tt.want {
				t.Errorf("%s: %s, want: %s (last error %s)", tt.name, got, tt.want, last)
			}
		}
		// The client is told, and its own name for the state is the server's.
		c := b.Connect(t, w.Client("alice"), "alice", "orders")
		if got := c.PgConn().ParameterStatus("default_transaction_read_only"); got != "on" {
			t.Errorf("the client believes default_transaction_read_only to be %q", got)
		}
		c.Exec(context.Background(), "discard all")
		if got := one[string](t, c, "show default_transaction_read_only"); got != "on" {
			t.Errorf("after DISCARD ALL: %q", got)
		}
		for _, sql := range []string{"set default_transaction_read_only = on", "begin read only", "commit"} {
			if _, err := c.Exec(context.Background(), sql); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		}
	})
}

// The table of docs/configuration.md is the one above.
func TestW93TableIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, tt := range bypasses {
		if row := "| " + tt.name + " | " + tt.want + " |\n"; strings.Contains(string(doc), row) {
			rows++
		} else {
			t.Errorf("docs/configuration.md has no row %q", row)
		}
	}
	if rows < 30 {
		t.Errorf("only %d ways around read_only are documented", rows)
	}
}

// tryBypass runs the steps in a session of alice's. refused says that the broker gave an error of its
// own, fatal that it ended the session.
func tryBypass(t *testing.T, b *Broker, steps []any, n int) (refused, fatal bool, last string) {
	t.Helper()
	c := b.DialTLS(t, b.World.Client("alice"))
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
	c.ReadUntil('Z')
	for _, step := range steps {
		raw, ok := step.([]byte)
		if !ok {
			raw = Query(step.(string))
		}
		raw = bytes.ReplaceAll(raw, []byte("values (100)"), fmt.Appendf(nil, "values (%d)", n)) // as long
		if _, err := c.Write(raw); err != nil {
			return refused, true, last
		}
		for owed := bytes.Count(raw, []byte("Q\x00")) + bytes.Count(raw, Msg('S', "")) + bytes.Count(raw, []byte("F\x00\x00")); owed > 0; {
			m, err := c.Read1()
			if err != nil {
				return refused, true, last
			}
			switch {
			case m.Type == 'Z':
				owed--
			case m.Type == 'E':
				last = ErrorText(m)
				fatal = fatal || Field(m, 'S') == "FATAL"
				refused = refused || Field(m, 'C') == "25006" &&
					(strings.Contains(last, "cannot leave read-only mode") || strings.Contains(last, "are limited to"))
			case m.Type == 'G':
				c.Send(Msg('f', "no\x00"))
			}
		}
	}
	// The end of a session may come behind the last answer.
	c.SetDeadline(time.Now().Add(time.Minute))
	c.Send(Query("select 'alive'"))
	for {
		m, err := c.Read1()
		if err != nil {
			return refused, true, last
		}
		if m.Type == 'E' && Field(m, 'S') == "FATAL" {
			return refused, true, ErrorText(m)
		}
		if m.Type == 'D' && bytes.Contains(m.Body, []byte("alive")) {
			return refused, fatal, last
		}
	}
}
