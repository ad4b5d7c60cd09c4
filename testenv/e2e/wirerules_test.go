package e2e

import (
	"crypto/tls"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// wireRules are requests whose answers a rule speaks of. Each step is sent to a direct session, too,
// and must read the same there, byte for byte but for where in its source PostgreSQL raised an error.
var wireRules = []struct {
	name  string
	steps [][]byte
}{
	{"W12 W30 a block is the server's own", [][]byte{Query("begin"), Query("select 1/0"), Query("begin"), Query("rollback")}},
	{"W18 an open block keeps its server", [][]byte{Query("begin; create temp table w18 (n int) on commit drop"), Query("select n + 0 from w18"), Query("commit"), Query("discard temp")}},
	{"W19 a Query skipped after an error owes no Z", [][]byte{joined(parsed("", "select 1/0"), bound("", ""), executed(""), Query("select 1"), synced)}},
	{"W20 an error at the implicit commit skips nothing", [][]byte{
		Query("create temp table w20 (n int unique deferrable initially deferred)"),
		joined(parsed("", "insert into w20 values (1), (1)"), bound("", ""), executed(""), synced, Query("select 1")), Query("discard temp")}},
	// PostgreSQL 18 answers the first request after such a Sync with XX000: it is the client's own.
	{"W21 a Query inside a batch", [][]byte{joined(parsed("", "select 1"), bound("", ""), executed(""), Query("select 2"), synced, Query(""))}},
	{"W22 an error without Sync or Flush", [][]byte{joined(parsed("", "selec"), parsed("", "select 1"))}},
	{"W23 W24 half a batch is rolled back", [][]byte{
		Query("create temp table w24 (n int)"),
		joined(parsed("", "insert into w24 values (1)"), bound("", ""), executed(""), bound("", "nope"), synced),
		Query("select count(*) from w24"), Query("discard temp")}},
	{"W25 W26 portals and Flush", [][]byte{
		joined(parsed("", "select generate_series(1, 9)"), bound("p", ""), executedUpTo("p", 2), Msg('H', ""), executedUpTo("p", 3), synced, executed("p"), synced),
		joined(Query("begin"), parsed("", "select generate_series(1, 9)"), bound("p", ""), executedUpTo("p", 2), synced, executed("p"), synced, Query("commit"))}},
	{"W27 many results of one Query", [][]byte{Query("select 1; select 2; ; create temp table w27 (); drop table w27; select 3"), Query("discard temp")}},
	{"W28 FunctionCall", [][]byte{lostObject}},
	{"W29 Parse in a failed block", [][]byte{Query("begin"), Query("select 1/0"), joined(parsed("w29", "select 1"), synced), joined(parsed("w29", "commit"), bound("", "w29"), executed(""), synced), joined(unnames("w29"), synced)}},
	{"W32 a Bind with large parameters", [][]byte{joined(parsed("w32", "select length($1)"), Msg('B', "\x00w32\x00\x00\x00\x00\x01\x00\x03\x00\x00"+strings.Repeat("x", 3<<16)+"\x00\x00"), executed(""), synced, unnames("w32"), synced)}},
	{"W35 a used name in a failed block", [][]byte{joined(parsed("w35", "select 1"), synced), Query("begin"), Query("select 1/0"),
		joined(parsed("w35", "commit"), synced), joined(parsed("w35", "select 2"), synced), Query("rollback"), joined(unnames("w35"), synced)}},
	{"W35 a Bind without its parameters", [][]byte{joined(parsed("w35", "select $1::int"), parsed("same", "select $1::int"), synced, bound("", "w35"), executed(""), synced, bound("", "same"), synced),
		joined(parsed("new", "select $1::text"), bound("", "new"), synced), joined(bound("", "w35"), Query("select 1"), synced, Query("deallocate w35")), Query("deallocate all")}},
	{"W36 a lone Describe", [][]byte{joined(parsed("w36", "select $1::int"), synced), joined(Msg('D', "Sw36\x00"), synced), joined(bound("p", ""), synced), joined(unnames("w36"), synced)}},
	{"W37 Close", [][]byte{joined(unnames("never"), synced), joined(parsed("w37", "select 37"), bound("w37", "w37"), Msg('C', "Pw37\x00"), bound("", "w37"), executed(""), unnames("w37"), synced)}},
	{"W38 the unnamed statement after errors", [][]byte{
		joined(parsed("", "select 38"), synced, bound("", "nope"), Query("select 1"), parsed("", "select 39"), synced, bound("", ""), executed(""), synced)}},
	{"W41 DEALLOCATE by each protocol", [][]byte{
		joined(parsed("w41", "select 41"), parsed("gone", "deallocate w41"), synced), joined(bound("", "gone"), executed(""), synced),
		joined(bound("", "gone"), executed(""), synced), joined(bound("", "w41"), synced), joined(unnames("gone"), synced)}},
	{"W42 SQL PREPARE", [][]byte{Query("prepare w42 as select 42"), Query("execute w42"), Query("deallocate all")}},
	{"W43 a plan whose result changes", [][]byte{
		Query("create temp table w43 (n int)"), joined(parsed("w43", "select * from w43"), bound("", "w43"), executed(""), synced),
		Query("alter table w43 add column m int"), joined(bound("", "w43"), executed(""), synced), joined(unnames("w43"), synced), Query("discard temp")}},
	{"W44 a statement too long to be looked at", [][]byte{
		joined(parsed("w44", "select length('"+strings.Repeat("x", 300<<10)+"')"), bound("", "w44"), executed(""), synced), joined(bound("", "w44"), executed(""), synced),
		joined(parsed("w44", "select 2 -- "+strings.Repeat("x", 300<<10)), synced), Query("discard all")}},
	{"W47 W49 a search_path with quotes", [][]byte{Query(`set search_path = "a b", 'c''d', public`), Query("show search_path"), Query("reset search_path")}},
	{"W40 W46 what has committed stays when the rest of its batch fails", [][]byte{
		Query("set work_mem = '697kB'"), Query("set timezone = 'Etc/GMT+5'"), joined(parsed("w40", "select 1"), synced),
		joined(parsed("", "discard all"), bound("", ""), executed(""), parsed("", "selec"), synced),
		Query("select current_setting('work_mem'), current_setting('timezone')"), joined(bound("", "w40"), synced),
		joined(parsed("", "set work_mem = '698kB'"), bound("", ""), executed(""), parsed("", "commit"), bound("", ""), executed(""), parsed("", "selec"), synced),
		Query("show work_mem"), Query("discard all")}},
	{"W56 W61 COPY in pieces", [][]byte{
		Query("create temp table w56 (n int, s text)"), joined(Query("copy w56 from stdin"), Msg('d', "1\ta"), Msg('d', "b\n2"), Msg('d', "\tc\n"), Msg('c', "")),
		Query("select n + 0, s || '' from w56"), Query("discard temp")}},
	{"W57 a Sync that a COPY reads, behind another COPY", [][]byte{
		Query("create temp table w57 (n int)"),
		joined(synced, synced, parsed("", "copy w57 from stdin"), bound("", ""), executed(""), Msg('c', ""), synced,
			bound("", ""), executed(""), synced, Msg('c', ""), synced, unnames(""), synced, synced),
		Query("discard temp")}},
	{"W58 late copy messages", [][]byte{joined(Query("copy no_such_table from stdin"), Msg('d', "1\n"), Msg('c', ""), Msg('f', "no\x00"), Query("select 58"))}},
	{"W59 data before it is asked for", [][]byte{Query("create temp table w59 (n int)"), joined(parsed("", "copy w59 from stdin"), bound("", ""), executed(""), Msg('d', "59\n"), Msg('c', ""), synced), Query("discard temp")}},
	{"W64 notices", [][]byte{Query("do $$ begin raise notice 'one'; raise warning 'two'; end $$")}},
}

// lostObject is a FunctionCall of lo_unlink for an object that does not exist.
var lostObject = Msg('F', "\x00\x00\x03\xc4\x00\x01\x00\x01\x00\x01\x00\x00\x00\x04\x00\x00\x00\x01\x00\x01")

func parsed(name, sql string) []byte { return Msg('P', name+"\x00"+sql+"\x00\x00\x00") }
func bound(portal, name string) []byte {
	return Msg('B', portal+"\x00"+name+"\x00\x00\x00\x00\x00\x00\x00")
}
func executed(portal string) []byte { return executedUpTo(portal, 0) }
func executedUpTo(portal string, rows byte) []byte {
	return Msg('E', portal+"\x00\x00\x00\x00"+string(rune(rows)))
}
func unnames(name string) []byte { return Msg('C', "S"+name+"\x00") }

var tempSchema = regexp.MustCompile(`pg_temp_\d+`)

var synced = Msg('S', "")

// TestWireRules holds the answers that the rules speak of to those of a direct session, in both modes
// and with the oldest and the newest PostgreSQL; and nobody else reads anything of it.
func TestWireRules(t *testing.T) {
	for _, major := range []int{Shared(t).PG.Major, newest} {
		w := Shared(t).On(t, major)
		for _, mode := range []struct{ name, pool string }{{"session", "size = 2"}, {"transaction", transactions(1)}} {
			t.Run(fmt.Sprint(mode.name, " on ", major), func(t *testing.T) {
				t.Parallel()
				w.expectWireRules(t, mode.pool)
			})
		}
	}
}

func (w *World) expectWireRules(t *testing.T, pool string) {
	b := w.Start(t, Options{Rules: people, Pool: pool})
	through, beside := b.wire(t, b.TLSConfig(w.Client("alice"))), b.wire(t, b.TLSConfig(w.Client("alice")))
	direct, err := dialWire(w.PG.Addr(), w.directTLS(t), "alice", "orders")
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	for _, tt := range wireRules {
		for i, step := range tt.steps {
			step = joined(step, terminator)
			got, gotErr := through.run(step, nil)
			want, wantErr := direct.run(step, nil)
			if a, b := tempSchema.ReplaceAllString(transcript(got), "pg_temp"), tempSchema.ReplaceAllString(transcript(want), "pg_temp"); a != b || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
				t.Errorf("%s, step %d: got %s (%v), want %s (%v), which part at\n%s\n%s", tt.name, i+1, Types(got), gotErr, Types(want), wantErr, parting(a, b), parting(b, a))
			}
		}
		if got, err := beside.run(joined(Query("select 'beside'"), terminator), nil); err != nil || Types(got) != "T D C ZI ZI I ZI I ZI I ZI" {
			t.Fatalf("%s: another client then reads %s, %v", tt.name, Types(got), err)
		}
	}
}

// directTLS logs in to PostgreSQL as the broker does.
func (w *World) directTLS(t *testing.T) *tls.Config {
	broker := w.issue(t, w.Env.Broker, pki.Shape{CN: "broker"})
	return &tls.Config{RootCAs: w.Servers.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{broker.TLS()}}
}

// W18, W21: PostgreSQL 18 stays inside the transaction of a batch that a Query or a FunctionCall has
// interrupted, whatever its ReadyForQuery says, and answers the next request with XX000. That must not
// be another client's.
func TestW21AnInterruptedBatchIsNobodyElses(t *testing.T) {
	t.Parallel()
	w := Shared(t).On(t, newest)
	b := w.Start(t, Options{Rules: people, Pool: transactions(1)})
	config := b.TLSConfig(w.Client("alice"))
	through, beside := b.wire(t, config), b.wire(t, config)
	loCreat := Msg('F', "\x00\x00\x03\xbd\x00\x01\x00\x01\x00\x01\x00\x00\x00\x04\xff\xff\xff\xff\x00\x01")
	for _, interruption := range [][]byte{Query("select 2"), loCreat} {
		if _, err := through.Write(joined(parsed("", "select 1"), bound("", ""), executed(""), interruption, synced)); err != nil {
			t.Fatal(err)
		}
		for ready := 0; ready < 2; {
			m, err := through.next()
			if err != nil {
				t.Fatal(err)
			}
			if m.Type == 'Z' {
				ready++
			}
		}
		if got, err := beside.run(joined(Query("select 'beside'"), terminator), nil); err != nil || Types(got) != "T D C ZI ZI I ZI I ZI I ZI" {
			t.Fatalf("behind %c: another client reads %s, %v", interruption[0], Types(got), err)
		}
	}
}
