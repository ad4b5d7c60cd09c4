package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What ran under strict delivery and was not what its start said is found, and counted, by what ran; and what
// the SQLSTATE rules out is not kept in memory until the end of the search.
func TestSearchFindsWhatRan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l, err := Open(Config{Directory: dir, Node: "gw1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Record{
		{Event: SessionOpen, SID: sidBob, Cert: &Cert{CN: "bob"}},
		{Event: Statement, SID: sidBob, Stmt: &Stmt{ID: 1, Phase: PhaseStart, Op: "execute", Text: "select 'innocent'"}},
		{Event: Statement, SID: sidBob, Stmt: &Stmt{ID: 1, Phase: PhaseEnd, Op: "execute", Text: "delete from salaries", SQLState: "00000", Tx: 'I'}},
		{Event: Statement, SID: sidBob, Stmt: &Stmt{ID: 2, Phase: PhaseStart, Op: "query", Text: "select 1"}},
		{Event: Statement, SID: sidBob, Stmt: &Stmt{ID: 2, Phase: PhaseEnd, Op: "query", SQLState: "00000", Tx: 'I'}},
		{Event: Statement, SID: sidBob, Stmt: &Stmt{ID: 3, Phase: PhaseStart, Op: "query", Text: "select 2"}},
		{Event: Statement, SID: sidBob, Stmt: &Stmt{ID: 3, Phase: PhaseEnd, Op: "query", SQLState: "42501", Tx: 'I'}},
	} {
		l.Append(&r)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, joined := range []bool{false, true} {
		if got, want := found(t, dir, SearchConfig{Query: Query{Text: "salaries"}, Joined: joined}), []string{"bob statement 1 end"}; !slices.Equal(got, want) {
			t.Errorf("joined %v: found %q, want %q", joined, got, want)
		}
	}
	sum, err := Report(context.Background(), ReportConfig{Directory: dir, By: ByRole, Query: Query{Text: "salaries"}})
	if err != nil || sum.Total.Statements != 1 || sum.Total.Unknown != 0 {
		t.Errorf("report: %+v, %v, want one statement", sum, err)
	}
	m, err := newMatcher(Query{SQLState: "42501"})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	s := &search{m: m, sessions: map[string]*known{}, starts: map[stmtKey]*start{}, cfg: SearchConfig{Visit: func(*Match) error { n++; return nil }}}
	if err := scan(context.Background(), dir, m, false, nil, s.line, s.end); err != nil || n != 1 || len(s.starts) > 0 {
		t.Errorf("%d found, want 1; %d starts kept, want none; %v", n, len(s.starts), err)
	}
	if got := found(t, dir, SearchConfig{Query: Query{Serial: "00"}}); len(got) > 0 {
		t.Errorf("serial 0, which nobody has, finds %q", got)
	}
}

// What report counts as rolled back is what the lines of a transaction's end say.
func TestReportCountsUndone(t *testing.T) {
	for _, strict := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "audit")
		l, err := Open(Config{Directory: dir, Node: "gw1"})
		if err != nil {
			t.Fatal(err)
		}
		add := func(s Stmt) {
			s.Op = "query"
			if s.Phase = PhaseAll; strict {
				l.Append(&Record{Event: Statement, SID: sidBob, Stmt: &Stmt{ID: s.ID, Phase: PhaseStart, Op: s.Op, Text: s.Text}})
				s.Phase, s.Text = PhaseEnd, ""
			}
			l.Append(&Record{Event: Statement, SID: sidBob, Stmt: &s})
		}
		l.Append(&Record{Event: SessionOpen, SID: sidBob, Cert: &Cert{CN: "bob"}})
		for i, s := range []Stmt{
			{Text: "begin", Tx: 'T'}, {Text: "insert a", Tx: 'T'}, {Text: "commit", Tx: 'I'},
			{Text: "begin", Tx: 'T'}, {Text: "insert b", Tx: 'T'}, {Text: "rollback", Tx: 'I', Undoes: 4}, // 4 and 5
			{Text: "insert c", Tx: 'I', Undone: true}, {Text: "insert d", Tx: 'I', SQLState: "23503", Undoes: 7}, // 7
			{Text: "insert e"}, {Text: "call p()"}, {Text: "insert f", Tx: 'I', SQLState: "23503", Undoes: 9, Perhaps: true}, // 9 and 10, perhaps
			{Text: "insert g", Tx: 'I'}, {Text: "begin", Tx: 'T'}, {Text: "insert h", Tx: 'T'},
		} {
			if s.ID = uint64(i + 1); s.SQLState == "" {
				s.SQLState = "00000"
			}
			add(s)
		}
		l.Append(&Record{Event: SessionClose, SID: sidBob, End: &End{Reason: "client_closed", Statements: 14, Errors: 2, Undoes: 13}}) // 13 and 14
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string][2]int64{"": {5, 2}, "insert": {3, 1}, "insert b": {1, 0}, "insert a": {0, 0}} {
			sum, err := Report(context.Background(), ReportConfig{Directory: dir, By: ByRole, Query: Query{Text: text}})
			if err != nil {
				t.Fatal(err)
			}
			if got := [2]int64{sum.Total.Undone, sum.Total.Unknown}; got != want {
				t.Errorf("strict %v, text %q: undone and unknown are %v, want %v", strict, text, got, want)
			}
		}
	}
}

// plainRecord is a line as encoding/json reads it.
type plainRecord struct {
	Seq                             int64
	Time                            time.Time
	Event, SID, Role, Database, Map string
	CertSHA256                      string `json:"cert_sha256"`
	Cert                            struct{ SHA256, Serial, CN, SPIFFE string }
	Client, Rule                    struct{ Addr, Name string }
	Requested, Granted              struct{ User, Role, Database string }
	Denial, End                     struct{ SQLState string }
	Stmt                            struct{ Text, SQLState, Phase string }
}

// fits says whether r, a line of session open, fits q, by the words of docs/audit.md and nothing else.
func (r *plainRecord) fits(q Query, open *plainRecord) bool {
	if open == nil {
		open = r
	}
	either := func(want string, have ...string) bool { return want == "" || slices.Contains(have, want) }
	begins := func(want string, have ...string) bool {
		return want == "" || slices.ContainsFunc(have, func(s string) bool { return strings.HasPrefix(s, want) })
	}
	role := r.Role + r.Granted.Role + open.Granted.Role
	if role == "" {
		role = r.Requested.User
	}
	database := open.Granted.Database
	if database == "" {
		database = r.Database + r.Requested.Database
	}
	return (q.Since.IsZero() || !r.Time.Before(q.Since)) && (q.Until.IsZero() || r.Time.Before(q.Until)) &&
		(q.Event == "" || r.Event == q.Event || strings.HasPrefix(r.Event, q.Event+".")) &&
		begins(q.SID, r.SID) && begins(q.Cert, open.Cert.SHA256) && either(q.Serial, open.Cert.Serial) &&
		either(q.CN, open.Cert.CN) && either(q.SPIFFE, open.Cert.SPIFFE) &&
		(q.Role == "" || strings.Contains(role, q.Role)) && either(q.Database, database) && either(q.Map, open.Rule.Name) &&
		begins(q.SQLState, r.Stmt.SQLState+r.Denial.SQLState+r.End.SQLState) &&
		(q.Text == "" || strings.Contains(strings.ToLower(r.Stmt.Text), strings.ToLower(q.Text)))
}

// Search, which looks at lines as bytes and passes over most after a glance, finds what a filter finds that reads
// each as JSON: over records and questions made at random from a fixed seed.
func TestSearchAgainstANaiveFilter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	dice := rand.New(rand.NewPCG(7, 2026))
	pick := func(list []string) string { return list[dice.IntN(len(list))] }
	synctest.Test(t, func(t *testing.T) { randomRecord(t, dir, dice, pick) })
	all, opens := plainRecords(t, dir)
	for range 150 {
		q := Query{}
		for n := 1 + dice.IntN(3); n > 0; n-- {
			r := all[dice.IntN(len(all))]
			switch dice.IntN(10) {
			case 0:
				q.Since = r.Time
			case 1:
				q.Until = r.Time
			case 2:
				q.Event = pick([]string{"session", "statement", "session.open", "session.denied", "config"})
			case 3:
				q.SID = r.SID[:min(len(r.SID), 8)]
			case 4:
				q.Cert = r.Cert.SHA256
			case 5:
				q.CN = pick(searchNames)
			case 6:
				q.Map = pick(searchNames)
			case 7:
				q.SQLState = pick([]string{"00000", "42501", "42", "28", "99"})
			case 8, 9:
				q.Text = pick([]string{"select", "SELECT", "payments", `"`, `\`, "é", "\n", "phase", "sqlstate", "\u202e", "ninto", "'"})
			}
		}
		var want []int64
		for i := range all {
			if all[i].fits(q, opens[all[i].SID]) {
				want = append(want, all[i].Seq)
			}
		}
		var got []int64
		err := Search(t.Context(), SearchConfig{Directory: dir, Query: q, Visit: func(m *Match) error {
			var r plainRecord
			if err := json.Unmarshal(m.Lines[0], &r); err != nil {
				return err
			}
			got = append(got, r.Seq)
			return nil
		}})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: %d found, want %d: %v, not %v; %v", q, len(got), len(want), got[:min(len(got), 5)], want[:min(len(want), 5)], err)
		}
	}
}

// searchNames are what sessions are called: what could be taken for something else in a line among them.
var searchNames = []string{"alice", "bob", "a\"b", `c\d`, "é", "x\ny", "role", "00000"}

// randomRecord makes two and a half minutes of records.
func randomRecord(t *testing.T, dir string, dice *rand.Rand, pick func([]string) string) {
	l, err := Open(Config{Directory: dir, Node: "gw1", SegmentSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{
		"select 1", "SELECT \"x\" from Payments", `select '"stmt":{"id":7,"phase":"end"}'`, "update é set a = '\\'", "insert\ninto t",
		`select '","sqlstate":"42501"'`, "delete from payments where note = '\u202e'", "vacuum \xff", `\`, `\\"`, "commit",
	}
	states := []string{"00000", "42501", "23505", "42P01"}
	type live struct {
		sid, cert, role string
		id              uint64
	}
	var open []live
	for i := range 1500 {
		switch n := dice.IntN(20); {
		case n == 0 || len(open) == 0:
			s := live{sid: fmt.Sprintf("%08x-5f2e-7cc1-8f2b-%012x", dice.Uint32(), i), cert: fmt.Sprintf("%064x", dice.Uint64()), role: pick(searchNames)}
			open = append(open, s)
			l.Append(&Record{Event: SessionOpen, SID: s.sid, Client: &Client{Addr: "10.0.0.1:5"},
				Cert: &Cert{SHA256: s.cert, Serial: fmt.Sprintf("%x", 1+dice.IntN(9)), CN: pick(searchNames), SPIFFE: pick(searchNames)}, Rule: &Rule{Name: pick(searchNames)},
				Requested: &Requested{User: pick(searchNames), Database: pick(searchNames)}, Granted: &Granted{Role: s.role, Database: pick(searchNames)}})
		case n == 1:
			l.Append(&Record{Event: SessionDenied, SID: fmt.Sprintf("%08x-%d", dice.Uint32(), i), Client: &Client{Addr: "10.0.0.2:5"},
				Cert: &Cert{SHA256: fmt.Sprintf("%064x", i), CN: pick(searchNames)}, Rule: &Rule{Name: pick(searchNames)},
				Requested: &Requested{User: pick(searchNames), Database: pick(searchNames)}, Denial: &Denial{Stage: "policy", Reason: "no_map", SQLState: "28000"}})
		case n == 2:
			k := dice.IntN(len(open))
			l.Append(&Record{Event: SessionClose, SID: open[k].sid, End: &End{Reason: "client_closed", SQLState: pick(states)}})
			open = slices.Delete(open, k, k+1)
		default:
			s := &open[dice.IntN(len(open))]
			s.id++
			l.Append(&Record{Event: Statement, SID: s.sid, CertSHA256: s.cert, Role: s.role,
				Stmt: &Stmt{ID: s.id, Phase: PhaseAll, Op: "query", Text: pick(texts), SQLState: pick(states), Message: pick(texts), Tx: 'I'}})
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// plainRecords are all lines but checkpoints, and by session those that open one.
func plainRecords(t *testing.T, dir string) (all []plainRecord, opens map[string]*plainRecord) {
	opens = make(map[string]*plainRecord)
	files, _ := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var r plainRecord
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
			if r.Event == string(SessionOpen) {
				opens[r.SID] = &r
			}
		}
	}
	return all, opens
}
