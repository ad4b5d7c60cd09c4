package hclfile

import (
	"flag"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/race"
)

var seed = flag.Uint64("seed", 1, "of the random expressions and logins that are compared with PostgreSQL")

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

// areMaker makes random expressions out of a few letters, so that they often match.
type areMaker struct {
	r     *rand.Rand
	plain bool // sequences of characters with a capture, as people write them
}

func (g *areMaker) pick(list ...string) string { return list[g.r.IntN(len(list))] }

func (g *areMaker) atom() string {
	return g.pick("a", "b", "al", "ice", "c", ".", "[a-c]", "[^a]", "[[:alpha:]]", "[a-]", "[]a]", `\.`, "@", "-", "_", `\w`, `\d`, "1", "{", "é", `\x61`, "]", "ab")
}

func (g *areMaker) quantifier() string {
	if g.r.IntN(2) == 0 {
		return ""
	}
	return g.pick("*", "+", "?", "*", "+", "{2}", "{1,2}", "{0,1}", "{1,}", "{0,3}", "*?", "+?", "??")
}

func (g *areMaker) branch(depth int) string {
	var b strings.Builder
	if g.r.IntN(3) == 0 {
		b.WriteString("^")
	}
	for range g.r.IntN(4) {
		switch k := g.r.IntN(8); {
		case k == 0 && depth > 0:
			b.WriteString("(" + g.alternatives(depth-1) + ")" + g.quantifier())
		case k == 1 && depth > 0:
			b.WriteString("(?:" + g.alternatives(depth-1) + ")" + g.quantifier())
		default:
			b.WriteString(g.atom() + g.quantifier())
		}
	}
	if g.r.IntN(3) == 0 {
		b.WriteString("$")
	}
	return b.String()
}

func (g *areMaker) alternatives(depth int) string {
	out := g.branch(depth)
	for g.r.IntN(4) == 0 {
		out += "|" + g.branch(depth)
	}
	return out
}

// sequence makes an expression with one capture and few choices.
func (g *areMaker) sequence() string {
	var b strings.Builder
	b.WriteString(g.pick("^", "^", ""))
	piece := func() {
		for range g.r.IntN(3) {
			b.WriteString(g.pick("a", "b", "[ab]", "[^@]", ".", "@", `\w`, "[a-c]") + g.pick("", "", "*", "+", "{1,2}", "{0,2}", "{2,}", "?"))
		}
		if g.r.IntN(6) == 0 {
			b.WriteString(g.pick("(?:a|ab)", "(?:b|c)", "(?:ab)+", "(?:a|b)@", "(?:x|y)@"))
		}
	}
	piece()
	b.WriteString("(")
	piece()
	b.WriteString(")")
	piece()
	b.WriteString(g.pick("$", "$", ""))
	return b.String()
}

func (g *areMaker) expression() string {
	if g.plain {
		return g.sequence()
	}
	return g.pick("", "", "", "", "(?i)", "(?s)") + g.alternatives(2)
}

func (g *areMaker) value() string {
	var b strings.Builder
	for range g.r.IntN(6) {
		b.WriteString(g.pick("a", "b", "c", "al", "ice", "A", "@", "-", "_", ".", "1", "ab", "{", "]"))
	}
	return b.String()
}

// TestExpressionsAsPostgreSQL runs random expressions on random values in PostgreSQL's engine, in
// the bytes and locale that pg_ident.conf is read with, and compares what import makes of them.
func TestExpressionsAsPostgreSQL(t *testing.T) {
	s := pgserver.Start(t, pgserver.Options{})
	s.MustExec(t, `CREATE DATABASE bytes ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
	conn, err := s.Connect(t.Context(), "bytes")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	counts := map[string]int{}
	for _, plain := range []bool{false, true} {
		g := &areMaker{r: rand.New(rand.NewPCG(*seed, 1)), plain: plain}
		for range race.Share(expressions) {
			source := g.expression()
			values := make([]string, 12)
			for i := range values {
				values[i] = g.value()
			}
			rows, err := conn.Query(t.Context(), `SELECT v, v ~ $1 COLLATE "C", (regexp_match(v, $1 COLLATE "C"))[1] FROM unnest($2::text[]) v`, source, values)
			if err != nil {
				t.Fatal(err)
			}
			var verdicts []verdict
			for rows.Next() {
				var v verdict
				if err := rows.Scan(&v.value, &v.match, &v.capture); err != nil {
					t.Fatal(err)
				}
				verdicts = append(verdicts, v)
			}
			counts[compareExpression(t, source, rows.Err(), verdicts)]++
		}
	}
	t.Log(counts)
	if n := race.Share(expressions); counts["same"] < n/4 || counts["same with capture"] < n/20 {
		t.Errorf("too few expressions were imported: %v", counts)
	}
}

// verdict is what PostgreSQL made of one value.
type verdict struct {
	value   string
	match   bool
	capture *string
}

// compareExpression returns what became of an expression.
func compareExpression(t *testing.T, source string, refused error, verdicts []verdict) string {
	re, err := parseARE(source)
	bad, _ := err.(*areError)
	switch {
	case refused != nil && err == nil:
		t.Errorf("%q: PostgreSQL says %v, import takes it", source, refused)
		return "wrong"
	case refused == nil && err != nil && bad.invalid:
		t.Errorf("%q: PostgreSQL takes it, import says %v", source, err)
		return "wrong"
	case err != nil:
		return "left out"
	}
	out := "same"
	keep := 0
	if re.groups > 0 && re.checkCapture() == nil {
		keep, out = 1, "same with capture"
	}
	for _, k := range []int{0, keep} {
		text, err := re.re2(k)
		if err != nil {
			t.Errorf("%q: %v", source, err)
			return "wrong"
		}
		compareValues(t, source, text, k, verdicts)
	}
	return out
}

func compareValues(t *testing.T, source, text string, keep int, verdicts []verdict) {
	compiled := regexp.MustCompile(`\A(?:` + text + `)\z`)
	for _, v := range verdicts {
		m := compiled.FindStringSubmatch(v.value)
		if (m != nil) != v.match {
			t.Errorf("%q on %q: PostgreSQL %v, RE2 %q %v", source, v.value, v.match, text, m != nil)
			continue
		}
		if keep == 0 || m == nil {
			continue
		}
		want := ""
		if v.capture != nil {
			want = *v.capture
		}
		if m[1] != want {
			t.Errorf("%q on %q: PostgreSQL captures %q, RE2 %q captures %q", source, v.value, want, text, m[1])
		}
	}
}

// expressions is how many of each kind a test run tries without the race detector.
const expressions = 2000

// TestImportExpression shows what single expressions become.
func TestImportExpression(t *testing.T) {
	for _, tt := range []struct{ source, want, capture string }{
		{"lic", ".*lic.*", ""},
		{"^(.*)@example\\.com$", "^.*@example[.]com$", "^(.*)@example[.]com$"},
		{"^alice|bob$", "^alice.*|.*bob$", ""},
		{"(^a|b)c", ".*(?:^a|b)c.*", ""},
		{"@(.*)$", ".*@.*$", ".*?@(.*)$"},
		{"^(a|al)(l|li)?ice$", "^(?:a|al)(?:l|li)?ice$", ""},
		{"^(?:DOM1|DOM2)\\\\([a-z]+)$", `^(?:DOM1|DOM2)\\[a-z]+$`, `^(?:DOM1|DOM2)\\([a-z]+)$`},
		{"^(?:x|xa)a([a-z]+)$", "^(?:x|xa)a[a-z]+$", ""},
		{"^([^,]+), (.+)$", "^[^,]+, .+$", "^([^,]+), .+$"},
		{"(?i)^(al)$", "(?i)^al$", "(?i)^(al)$"},
		{"a{2,3}?", ".*a{2,3}?.*", ""},
		{"[]^-]", `.*[\]\^\-].*`, ""},
	} {
		re, err := parseARE(tt.source)
		if err != nil {
			t.Errorf("%q: %v", tt.source, err)
			continue
		}
		if got, err := re.re2(0); got != tt.want || err != nil {
			t.Errorf("%q became %q, %v; want %q", tt.source, got, err, tt.want)
		}
		got := ""
		if re.checkCapture() == nil {
			got, _ = re.re2(1)
		}
		if got != tt.capture {
			t.Errorf("%q with \\1 became %q, want %q", tt.source, got, tt.capture)
		}
	}
	for _, source := range []string{"(?=a)", "(?<!a)b", `(a)\1`, `\ya`, `\mb`, "[[:<:]]a", "***:a", "(?x)a b", "(?w)a", "a(", "a)", "[a", "a**", "*a", "a{3,2}", "a{256}", `a\`, "[z-a]", "[[.a.]]", "[é]", "é+", "(?i)é", "[[:nope:]]", `\q`, "^*"} {
		if re, err := parseARE(source); err == nil {
			t.Errorf("%q was taken: %+v", source, re)
		} else {
			t.Logf("%-10q %v", source, err)
		}
	}
}
