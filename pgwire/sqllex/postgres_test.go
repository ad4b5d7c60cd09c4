package sqllex_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsignet/pgsignet/pgwire/sqllex"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

func realServer(t *testing.T) *pgserver.Server {
	return pgserver.Shared(t, "sqllex", func() pgserver.Options { return pgserver.Options{} })
}

func connect(t *testing.T, s *pgserver.Server) *pgx.Conn {
	t.Helper()
	conn, err := s.Connect(context.Background(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// run sends a text as one simple query.
func run(conn *pgx.Conn, sql string) ([]*pgconn.Result, error) {
	return conn.PgConn().Exec(context.Background(), sql).ReadAll()
}

// generator makes texts that PostgreSQL accepts, in spellings that are hard to read.
type generator struct {
	*rand.Rand
	offline bool // standard_conforming_strings
}

func (g *generator) pick(list ...string) string { return list[g.IntN(len(list))] }

// gap is what may stand between two tokens. It never begins a continued string: none stands
// beside another.
func (g *generator) gap() string {
	return g.pick(" ", "\n", "\t ", "/**/", "/* ; ' */", "-- ' \" $$ /*\n", "/*/* x */ $a$ */", " --\r\n")
}

func (g *generator) join(tokens ...string) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteString(g.gap() + token)
	}
	return b.String()
}

// name spells a name of PostgreSQL's own.
func (g *generator) name(name string) string {
	switch g.IntN(5) {
	case 0:
		return strings.ToUpper(name)
	case 1:
		return `"` + name + `"`
	case 2:
		return g.unicodeName(name, `\`, "")
	case 3:
		return g.unicodeName(name, "!", g.gap()+"UESCAPE"+g.gap()+"'!'")
	}
	return name
}

// unicodeName escapes one letter. Under standard_conforming_strings = off there is no U&.
func (g *generator) unicodeName(name, escape, clause string) string {
	if g.offline {
		return `"` + name + `"`
	}
	i := g.IntN(len(name))
	escaped := fmt.Sprintf("%s%04x", escape, name[i])
	if g.IntN(2) == 0 {
		escaped = fmt.Sprintf("%s+%06X", escape, name[i])
	}
	return g.pick("U&", "u&") + `"` + name[:i] + escaped + name[i+1:] + `"` + clause
}

func (g *generator) call(function string, args ...string) []string {
	tokens := []string{"SELECT"}
	if g.IntN(2) == 0 {
		tokens = append(tokens, g.name("pg_catalog"), ".")
	}
	tokens = append(tokens, g.name(function), "(")
	for i, arg := range args {
		if i > 0 {
			tokens = append(tokens, ",")
		}
		tokens = append(tokens, arg)
	}
	return append(tokens, ")")
}

// noise is a statement without effect around a literal made to mislead.
func (g *generator) noise() string {
	var body strings.Builder
	for range g.IntN(8) {
		body.WriteString(g.pick("'", `\`, `"`, "$", "$$", "$a$", ";", "--", "/*", "*/", "\n", " ", "a", "E'", "U&'", "LISTEN x", "SET a = 1"))
	}
	return g.join("SELECT", g.literal(body.String()), "AS", g.pick("a", `"; ' $$ -- /*"`, `"""; '"`))
}

// literal writes text as a literal of some form.
func (g *generator) literal(text string) string {
	doubled := strings.ReplaceAll(text, "'", "''")
	escaped := strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), "'", g.pick(`\'`, "''"))
	plain := doubled
	if g.offline {
		plain = escaped
	}
	switch g.IntN(5) {
	case 0:
		return "E'" + escaped + "'"
	case 1:
		return "e'a\\\\\\''" + g.pick("\n", " \n ", "--'\n", " -- x\n\n") + "'" + escaped + "'"
	case 2:
		return "$q_1$" + text + "$q_1$"
	case 3:
		return "'a'" + g.pick("\n", "\r\n", "--'\n") + "'" + plain + "'"
	}
	return "'" + plain + "'"
}

// state is a statement that leaves something behind.
func (g *generator) state() string {
	switch g.IntN(12) {
	case 0:
		return g.join(g.pick("LISTEN", "listen"), g.pick("ch", `"Ch"`))
	case 1:
		return g.join("PREPARE", fmt.Sprintf("p%d", g.IntN(1e9)), "AS", "SELECT", "1")
	case 2:
		return g.join("CREATE", g.pick("TEMP", "temporary", "LOCAL TEMP"), "TABLE", fmt.Sprintf("t%d", g.IntN(1e9)), "(", ")")
	case 3:
		return g.join("SELECT", "1", "AS", "a", "INTO", "TEMP", fmt.Sprintf("t%d", g.IntN(1e9)))
	case 4:
		return g.join("CREATE", "TABLE", g.name("pg_temp"), ".", fmt.Sprintf("t%d", g.IntN(1e9)), "(", ")")
	case 5:
		return g.join(g.call(g.pick("pg_advisory_lock", "pg_try_advisory_lock_shared"), "1")...)
	case 6:
		return g.join("SET", g.name("work_mem"), g.pick("=", "TO"), "'65kB'")
	case 7:
		return g.join(g.call("set_config", "'my.x'", "'1'", "false")...)
	case 8:
		return g.join("DECLARE", fmt.Sprintf("c%d", g.IntN(1e9)), "CURSOR", "WITH", "HOLD", "FOR", "SELECT", "1")
	case 9:
		return g.join("SET", g.name("role"), "=", "pg_monitor")
	case 10:
		return g.join("SET", "SESSION", "ROLE", "pg_monitor")
	}
	return g.join("SET", g.name("my"), ".", g.name("x"), "=", g.pick("1", "'a'", "on"))
}

// stateQuery returns which kinds of state the session holds, in the order of stateFlags.
const stateQuery = `SELECT
	EXISTS (SELECT FROM pg_prepared_statements),
	EXISTS (SELECT FROM pg_listening_channels()),
	EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
	EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
	EXISTS (SELECT FROM pg_cursors WHERE is_holdable),
	current_user <> session_user,
	EXISTS (SELECT FROM pg_settings WHERE source = 'session' AND name NOT IN ('standard_conforming_strings', 'escape_string_warning'))`

var stateFlags = []sqllex.Flags{
	sqllex.Prepare, sqllex.Listen, sqllex.AdvisoryLock, sqllex.Temp, sqllex.HoldCursor, sqllex.Role,
	sqllex.SetLone | sqllex.SetOther | sqllex.Role,
}

// W52: what PostgreSQL has kept after a text, Classify has named. A false negative leaks.
func TestClassifyAsPostgreSQL(t *testing.T) {
	conn := connect(t, realServer(t))
	seen := 0
	for i := range uint64(600) {
		g := &generator{Rand: rand.New(rand.NewPCG(i, 3)), offline: i%2 == 1}
		var parts []string
		for range 1 + g.IntN(4) {
			part := g.noise
			if g.IntN(3) == 0 {
				part = g.state
			}
			parts = append(parts, part())
		}
		text := strings.Join(parts, ";")
		flags := sqllex.Classify(text).Flags
		for kind, held := range stateAfter(t, conn, text, g.offline) {
			if held {
				seen++
			}
			if held && flags&(stateFlags[kind]|sqllex.Dirty|sqllex.Opaque) == 0 {
				t.Errorf("text %d %q: %s not seen, only %s", i, text, stateFlags[kind], flags)
			}
		}
		if flags&sqllex.Opaque != 0 && !strings.Contains(text, `\`) {
			t.Errorf("text %d %q: opaque", i, text)
		}
	}
	if seen < 200 {
		t.Errorf("only %d kinds of state were left", seen)
	}
}

// stateAfter runs a text and returns what is left behind, which it then discards.
func stateAfter(t *testing.T, conn *pgx.Conn, text string, offline bool) []bool {
	t.Helper()
	setting := "SET escape_string_warning = off; SET standard_conforming_strings = on"
	if offline {
		setting = strings.Replace(setting, "= on", "= off", 1)
	}
	var results []*pgconn.Result
	for _, sql := range []string{setting, text, stateQuery, "DISCARD ALL"} {
		r, err := run(conn, sql)
		if err != nil {
			t.Fatalf("%q: %v", sql, err)
		}
		results = append(results, r[len(r)-1])
	}
	kept := make([]bool, len(stateFlags))
	for i, value := range results[2].Rows[0] {
		kept[i] = string(value) == "t"
	}
	return kept
}

// Literals and identifiers, well-formed or not: where PostgreSQL reads one token, so do we, and
// it stands for the same text.
func TestTokensAsPostgreSQL(t *testing.T) {
	conn := connect(t, realServer(t))
	g := &generator{Rand: rand.New(rand.NewPCG(5, 6))}
	read := 0
	for range 3000 {
		token, kind := g.rawLiteral(), sqllex.String
		query := "SELECT (" + token + ")::text"
		if g.IntN(3) == 0 {
			token, kind = g.rawName(), sqllex.QuotedIdent
			query = "SELECT 1 AS " + token
		}
		results, err := run(conn, query)
		if err != nil || len(results) != 1 || len(results[0].Rows) != 1 {
			continue
		}
		want := string(results[0].Rows[0][0])
		if kind == sqllex.QuotedIdent {
			want = results[0].FieldDescriptions[0].Name
		}
		l := sqllex.NewLexer(token)
		first, second := l.Next(), l.Next()
		if first.Kind != kind || second.Kind != sqllex.EOF {
			t.Errorf("%q: kinds %d, %d", token, first.Kind, second.Kind)
			continue
		}
		got := l.Value(first)
		if kind == sqllex.QuotedIdent {
			got = l.Name(first)
			got = got[:min(len(got), 63)]
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", token, got, want)
		}
		read++
	}
	if read < 500 {
		t.Errorf("PostgreSQL read only %d of them", read)
	}
}

// rawLiteral is a literal of random characters, which PostgreSQL may refuse.
func (g *generator) rawLiteral() string {
	if g.IntN(4) == 0 {
		tag := g.pick("$$", "$a$", "$_1é$")
		return tag + g.raw("$$", "$a", "$a$", "$", "'", `\`, "--", "x") + tag
	}
	prefix := g.pick("", "E", "e", "U&", "u&")
	text := prefix + "'" + g.rawBody() + "'"
	for g.IntN(3) == 0 {
		text += g.pick("\n", " \r", "--x'\n", " -- \n --\n ") + "'" + g.rawBody() + "'"
	}
	if strings.HasSuffix(prefix, "&") && g.IntN(2) == 0 {
		text += g.gap() + g.pick("UESCAPE", "uescape") + g.gap() + g.pick("'!'", `'\'`, "'x'", "'!!'", "E'!'", "$$!$$")
	}
	return text
}

func (g *generator) rawBody() string {
	return g.raw("''", "'", `\'`, `\\`, `\`, `\n`, `\x4`, `\101`, `\u0041`, `\U0001F600`, `\d83d\de00`, `\+01F600`,
		`\0041`, "!0041", "!!", "a", "é", ";", "$$", "--", "/*", "\n", "\"")
}

func (g *generator) rawName() string {
	prefix := g.pick("", "U&", "u&")
	text := prefix + `"` + g.raw(`""`, `\0041`, `\\`, "!0041", "!!", "a", "B", "é", "'", ";", "--", "$$", strings.Repeat("x", 40)) + `"`
	if prefix != "" && g.IntN(2) == 0 {
		text += g.gap() + "UESCAPE" + g.gap() + g.pick("'!'", "E'!'", "'x'")
	}
	return text
}

func (g *generator) raw(pieces ...string) string {
	var b strings.Builder
	for range g.IntN(6) {
		b.WriteString(g.pick(pieces...))
	}
	return b.String()
}

// W28: the numbers that FunctionEffects lets pass are those of PostgreSQL's large objects.
func TestFunctionEffectsAsPostgreSQL(t *testing.T) {
	conn := connect(t, realServer(t))
	results, err := run(conn, "SELECT oid::text, proname FROM pg_proc WHERE oid < 10000")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range results[0].Rows {
		oid, err := strconv.ParseUint(string(row[0]), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		name := string(row[1])
		want := sqllex.Dirty | sqllex.Unresettable
		if strings.HasPrefix(name, "lo_") || name == "loread" || name == "lowrite" {
			want = 0
		}
		if got := sqllex.FunctionEffects(uint32(oid)); got != want {
			t.Errorf("%d %s: got %s, want %s", oid, name, got, want)
		}
	}
}
