package hclfile_test

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/hclfile"
	"github.com/pgsignet/pgsignet/policy/identity"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// seedFlag is shared with the comparison of expressions.
func seedFlag() uint64 { return flag.Lookup("seed").Value.(flag.Getter).Get().(uint64) }

// commonNames are the certificates that logins are tried with.
var commonNames = []string{
	"alice", "al", "alicé", "Alice", "bob", "carol@example.com", "alice@example.com", "bob@corp.example.com", "dave@example.com.evil",
	"postgres", "postgres@example.com", "pg_monitor", "all", "+dba", "x y", `a"b`, `back\slash`, `\1`, "svc-web", "svc-", "web-svc", "a,b",
	"team.red", "team-blue", "a$1", "aab", "abab", strings.Repeat("n", 63), strings.Repeat("n", 64), "#comment", "@file", "DOM1/alice", "josé",
}

// userNames are the users asked for, beside those that captures yield.
var userNames = []string{"alice", "bob", "al", "app", "postgres", "pg_monitor", "all", "+dba", `\1`, "role x", `q"r`, "svc", "a$1", "pre_", "web", "Alice", "carol"}

// identMaker writes random lines of pg_ident.conf.
type identMaker struct {
	r   *rand.Rand
	odd bool // also what import leaves out
}

func (g *identMaker) pick(list ...string) string { return list[g.r.IntN(len(list))] }

func (g *identMaker) systemUser() string {
	kinds := 3
	if g.odd {
		kinds = 4
	}
	switch g.r.IntN(kinds) {
	case 0:
		return commonNames[g.r.IntN(len(commonNames))]
	case 1:
		return "/" + g.pick("^", "^", "") + g.pick("(.*)", "([a-z]+)", "([^@]+)", "([a-z]*)", `(\w+)`, "(.+)") +
			g.pick(`@example\.com`, `@.*`, "-svc", `\.red`, "", "@corp", "[0-9]*", " y") + g.pick("$", "$", "")
	case 2:
		return "/" + g.pick("^svc-", "^", "", "^[Aa]", "^(?:DOM1|DOM2)/", "^team.") + g.pick("([a-z]+)", "(.*)", "ali", "b+") + g.pick("$", "")
	}
	return "/" + g.pick("^(a|al)(l|li)?ice$", "^(alice)?$", "(?=al)alice", "^(a)\\1b", "^(?:a|aa)(b*)", "^alice$", "(?i)^ALICE$", "^al|(bob)$", "^jos.$", "^jos..$", "[é]", `\malice`)
}

func (g *identMaker) role() string {
	if g.odd && g.r.IntN(4) == 0 {
		return g.pick("all", "+dba", "/^a", `\1_\1`, `\2`, strings.Repeat("n", 64))
	}
	if g.r.IntN(2) == 0 {
		return g.pick(`\1`, `\1`, `\1`, `pre_\1`, `\1x`)
	}
	return userNames[g.r.IntN(len(userNames))]
}

// word writes a token, sometimes quoted without need.
func (g *identMaker) word(s string, plain bool) string {
	if strings.ContainsAny(s, " \t,#\"") || strings.HasPrefix(s, "@") || !plain && g.r.IntN(3) == 0 {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

func (g *identMaker) line(mapName string) string {
	user, role := g.systemUser(), g.role()
	plain := slices.Contains([]string{"all", "+dba"}, role) && g.odd
	if !g.odd && (role == "all" || role == "+dba") {
		role = `"` + role + `"`
		return mapName + "\t" + g.word(user, false) + " " + role
	}
	return mapName + g.pick(" ", "\t", "  \t") + g.word(user, false) + " " + g.word(role, plain) + g.pick("", "", " # why", " ignored")
}

// candidate is a login: who, as whom, into which database.
type candidate struct{ cn, user, database string }

// identWorld is a set of maps, each reached through a database of its own.
type identWorld struct {
	ident, hba []string
	odd        map[string]bool // by database
	lines      map[string][]string
}

func makeWorld(r *rand.Rand, n int) *identWorld {
	w := &identWorld{odd: map[string]bool{}, lines: map[string][]string{}}
	for i := range n {
		g := &identMaker{r: r, odd: i%4 == 0}
		name, db := fmt.Sprintf("m%d", i), fmt.Sprintf("d%d", i)
		for range 1 + r.IntN(4) {
			line := g.line(name)
			w.ident, w.lines[db] = append(w.ident, line), append(w.lines[db], line)
		}
		w.hba = append(w.hba, fmt.Sprintf("hostssl %s all 127.0.0.1/32 cert map=%s", db, name))
		w.odd[db] = g.odd
	}
	return w
}

// importPolicy imports ident and hba lines and compiles them.
func importPolicy(t *testing.T, ident, hba []string) (*policy.Policy, *hclfile.Imported) {
	t.Helper()
	f := files{"etc/pg_ident.conf": strings.Join(ident, "\n") + "\n", "etc/pg_hba.conf": strings.Join(hba, "\n") + "\n"}
	got, err := f.imported("etc/pg_hba.conf")
	if err != nil {
		t.Fatal(err)
	}
	set, diags := decode(t, string(got.HCL))
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			t.Fatal(d)
		}
	}
	p, err := policy.Compile(policy.Config{Rules: set.Rules, Databases: []policy.Database{{Name: "*", Upstream: "up"}}})
	if err != nil {
		t.Fatal(err)
	}
	return p, got
}

// pgLogins tries logins at a PostgreSQL server with certificates of its client CA.
type pgLogins struct {
	s   *pgserver.Server
	env *pki.Env

	mu    sync.Mutex
	certs map[string]*pki.Leaf
	ids   map[string]*identity.Identity
}

func (l *pgLogins) cert(t *testing.T, cn string) (*pki.Leaf, *identity.Identity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.certs[cn] == nil {
		leaf := l.env.Client(cn)
		peer, err := leaf.Peer()
		if err != nil {
			t.Fatal(err)
		}
		id, err := identity.Extract(peer[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		l.certs[cn], l.ids[cn] = leaf, id
	}
	return l.certs[cn], l.ids[cn]
}

// admits reports whether PostgreSQL's authentication lets a login pass. Neither role nor database
// need exist: that is asked later.
func (l *pgLogins) admits(t *testing.T, c candidate) bool {
	leaf, _ := l.cert(t, c.cn)
	config, err := pgconn.ParseConfig(fmt.Sprintf("host=%s port=%d sslmode=require user=x dbname=x password=x", l.s.Host, l.s.Port))
	if err != nil {
		t.Fatal(err)
	}
	config.User, config.Database, config.Fallbacks = c.user, c.database, nil
	config.TLSConfig = &tls.Config{RootCAs: l.env.Servers.Pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{leaf.TLS()}}
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err == nil {
		_ = conn.Close(context.WithoutCancel(t.Context()))
		return true
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		t.Errorf("%+v: %v", c, err)
		return false
	}
	return refused.Code == "3D000" || strings.HasSuffix(refused.Message, "does not exist") || strings.HasSuffix(refused.Message, "is not permitted to log in")
}

// ours decides a login by the imported policy.
func (l *pgLogins) ours(t *testing.T, p *policy.Policy, c candidate) (*policy.Grant, error) {
	_, id := l.cert(t, c.cn)
	return p.Decide(policy.Request{Identity: id, Listener: "main", Addr: netip.MustParseAddr("127.0.0.1"), User: c.user, Database: c.database})
}

// grants reports the verdict alone.
func (l *pgLogins) grants(t *testing.T, p *policy.Policy, c candidate) bool {
	g, _ := l.ours(t, p, c)
	return g != nil
}

// versions are the major versions of PostgreSQL to compare with; 0 is whatever is at hand.
var versions = flag.String("pgversions", "0", "major versions of PostgreSQL to compare imports with: 15,16,17,18")

// eachVersion runs a comparison for every version.
func eachVersion(t *testing.T, compare func(t *testing.T, version int)) {
	for v := range strings.SplitSeq(*versions, ",") {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(v, func(t *testing.T) { compare(t, n) })
	}
}

func newLogins(t *testing.T, version int, ident, hba []string) *pgLogins {
	env := pki.New(t)
	server := env.Server()
	key, err := server.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	s := pgserver.Start(t, pgserver.Options{Version: version, Ident: ident, HBA: hba,
		TLS: pgserver.TLS{Cert: string(server.PEM()), Key: string(key), CA: string(env.Clients.CertPEM())}})
	return &pgLogins{s: s, env: env, certs: map[string]*pki.Leaf{}, ids: map[string]*identity.Identity{}}
}

// choose draws logins into a database: half of them, if there are so many, that we grant.
func (l *pgLogins) choose(t *testing.T, r *rand.Rand, p *policy.Policy, db string, n int) []candidate {
	var granted, refused []candidate
	for range 40 * n {
		c := candidate{commonNames[r.IntN(len(commonNames))], userNames[r.IntN(len(userNames))], db}
		if r.IntN(2) == 0 { // a user that a capture may yield
			c.user = strings.NewReplacer("@example.com", "", "@corp.example.com", "", "svc-", "", "-svc", "", "DOM1/", "").Replace(c.cn)
			c.user = []string{"", "pre_"}[r.IntN(2)] + c.user + []string{"", "", "x"}[r.IntN(3)]
		}
		switch {
		case c.user == "" || len(c.user) > 63:
		case l.grants(t, p, c):
			granted = append(granted, c)
		default:
			refused = append(refused, c)
		}
	}
	granted = granted[:min(n/2, len(granted))]
	return append(granted, refused[:min(n-len(granted), len(refused))]...)
}

// TestImportAsPostgreSQL compares the verdict on random lines of pg_ident.conf, certificates and
// users with a real server's. Each difference must be one that T5 to T10 tell of.
func TestImportAsPostgreSQL(t *testing.T) { eachVersion(t, compareIdent) }

func compareIdent(t *testing.T, version int) {
	r := rand.New(rand.NewPCG(seedFlag(), 2))
	w := makeWorld(r, race.Share(210))
	p, got := importPolicy(t, w.ident, w.hba)
	l := newLogins(t, version, w.ident, w.hba)
	var all []candidate
	for _, db := range slices.Sorted(maps.Keys(w.lines)) {
		all = append(all, l.choose(t, r, p, db, 10)...)
	}
	verdicts := l.tryAll(t, all)
	counts := map[string]int{}
	for i, c := range all {
		g, err := l.ours(t, p, c)
		switch {
		case verdicts[i] && g != nil:
			counts["both grant"]++
		case !verdicts[i] && g == nil:
			counts["both refuse"]++
		default:
			why := w.explain(got, c, verdicts[i])
			counts["differ: "+why]++
			if why == "" {
				t.Errorf("%+v: PostgreSQL admits: %v, ours: %v %v\n%s", c, verdicts[i], g, err, strings.Join(w.lines[c.database], "\n"))
			}
		}
	}
	t.Logf("%d logins: %v", len(all), counts)
	if len(all) < race.Share(2000) || counts["both grant"] < race.Share(200) {
		t.Errorf("too few logins: %d, %v", len(all), counts)
	}
}

// tryAll asks PostgreSQL, a few at a time.
func (l *pgLogins) tryAll(t *testing.T, all []candidate) []bool {
	verdicts := make([]bool, len(all))
	next := make(chan int)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i := range next {
				verdicts[i] = l.admits(t, all[i])
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	workers.Wait()
	return verdicts
}

// explain names the rule of T5 to T10 that accounts for a difference, "" if there is none.
func (w *identWorld) explain(got *hclfile.Imported, c candidate, admitted bool) string {
	notes, lines := w.notes(got, c.database), strings.Join(w.lines[c.database], "\n")
	if !admitted {
		if strings.Contains(notes, "(T8)") {
			return "T8: an expression without a capture ends PostgreSQL's search"
		}
		if strings.Contains(notes, "T7, T8") {
			return "T8: a capture that took no part ends PostgreSQL's search"
		}
		if (strings.Contains(notes, "(T6)") || strings.Contains(notes, "(T5)")) && strings.Contains(lines, `\1`) {
			return "T8: the same, in an expression that RE2 does not have"
		}
		return ""
	}
	switch {
	case reserved(c.user):
		return "T9: a captured role of PostgreSQL's own"
	case (c.user == "pre_" || c.user == "x") && strings.Contains(lines, `\1`):
		return "T8: an empty capture"
	case strings.Contains(notes, "is a capture") && c.user == `\1`:
		return `T8: a role called \1`
	case strings.IndexFunc(c.cn, func(r rune) bool { return r >= 0x80 }) >= 0 && strings.Contains(notes, "(T5)"):
		return "T5: bytes and runes"
	case strings.Contains(notes, "tried first") && strings.Contains(notes, "(T7)"):
		return "(T7): left out"
	case w.odd[c.database]:
		for _, rule := range []string{"(T10)", "(T7)", "(T6)", "(T7, T8)", "(T8)", "is a capture", "(T5)"} {
			if strings.Contains(notes, rule) {
				return rule + ": left out"
			}
		}
	}
	return ""
}

func reserved(user string) bool {
	return user == "postgres" || strings.HasPrefix(user, "pg_") || user == "prepostgres" || user == "pre_postgres" || user == "postgresx" ||
		user == "pre_pg_monitor" || user == "pg_monitorx"
}

// notes joins what import says of the lines of a database's map.
func (w *identWorld) notes(got *hclfile.Imported, db string) string {
	var b strings.Builder
	for _, n := range got.Notes {
		if strings.HasSuffix(n.File, "pg_ident.conf") && slices.Contains(w.lines[db], w.ident[n.Line-1]) {
			b.WriteString(n.Text + "\n")
		}
	}
	return b.String()
}
