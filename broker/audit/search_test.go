package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Two people and a service, as story records them.
const (
	sidAlice  = "01990000-0000-7000-8000-00000000a11c"
	sidBob    = "01990000-0000-7000-8000-0000000000b0"
	sidBatch  = "01990000-0000-7000-8000-00000000ba7c"
	sidMallet = "01990000-0000-7000-8000-0000000000ff"
)

// storyStart is when a synctest bubble begins.
var storyStart = at("2000-01-01T00:00:00Z")

// story writes a small record: Alice under best effort, Bob under strict delivery (the statement he
// began last has no end), the service at level session, and three refusals. A record a minute, by a
// clock of its own.
func story(t *testing.T, dir string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { tell(t, dir) })
}

func tell(t *testing.T, dir string) {
	l := openTest(t, Config{Directory: dir})
	add := func(r Record) {
		t.Helper()
		time.Sleep(time.Minute)
		if err := l.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	open := func(sid, sha, cn, serial, email, addr, rule, role, database string) {
		add(Record{Event: SessionOpen, SID: sid, Client: &Client{Addr: addr, Listener: "main"},
			Cert: &Cert{SHA256: sha, CN: cn, Subject: "CN=" + cn, Serial: serial, Email: []string{email}, SPIFFE: "spiffe://example/" + cn},
			Rule: &Rule{Kind: "map", Name: rule}, Requested: &Requested{User: role, Database: database},
			Granted: &Granted{Role: role, Database: database, Level: LevelStatement}})
	}
	stmt := func(sid, sha, rule, role, database string, s Stmt) {
		add(Record{Event: Statement, SID: sid, CertSHA256: sha, Map: rule, Role: role, Database: database, Stmt: &s})
	}
	alice, bob, batch := strings.Repeat("a1", 32), strings.Repeat("b0", 32), strings.Repeat("ba", 32)
	open(sidAlice, alice, "alice", "4f1c", "alice@example.com", "10.2.3.14:53912", "people", "analyst", "orders")
	stmt(sidAlice, alice, "people", "analyst", "orders", Stmt{ID: 1, Phase: PhaseAll, Op: "query", Text: "SELECT * FROM Payments\nWHERE id = 7", SQLState: "00000", RowsOut: 3, Exec: 1500 * time.Microsecond, Tx: 'I'})
	stmt(sidAlice, alice, "people", "analyst", "orders", Stmt{ID: 2, Phase: PhaseAll, Op: "query", Text: "delete from payments", SQLState: "42501", Message: "permission denied for table payments", Exec: 300 * time.Microsecond, Tx: 'I'})
	open(sidBob, bob, "bob", "61aa", "Bob@Example.com", "10.9.0.7:40000", "people", "clerk", "orders")
	stmt(sidBob, bob, "people", "clerk", "orders", Stmt{ID: 1, Phase: PhaseStart, Op: "query", Text: "update payments set paid = true"})
	stmt(sidBob, bob, "people", "clerk", "orders", Stmt{ID: 1, Phase: PhaseEnd, Op: "query", SQLState: "00000", Rows: 12, Exec: 9 * time.Millisecond, Tx: 'I'})
	stmt(sidBob, bob, "people", "clerk", "orders", Stmt{ID: 2, Phase: PhaseStart, Op: "query", Text: "vacuum payments"})
	add(Record{Event: CopyDone, SID: sidAlice, Copy: &Copy{Stmt: 2, Direction: "out", Format: "text", Rows: 5, SQLState: "00000"}})
	open(sidBatch, batch, "batch", "77", "", "10.9.0.8:40001", "services", "batch_rw", "stock")
	add(Record{Event: SessionClose, SID: sidBatch, End: &End{Reason: "client_terminated", Duration: time.Minute, Statements: 40, Errors: 1, Rows: 400}})
	denied := func(sha, cn, reason, state string, count int) {
		add(Record{Event: SessionDenied, SID: sidMallet, Client: &Client{Addr: "192.0.2.66:1", Listener: "main"},
			Cert: &Cert{SHA256: sha, CN: cn}, Requested: &Requested{User: "postgres", Database: "orders"},
			Denial: &Denial{Stage: "policy", Reason: reason, SQLState: state, Message: "certificate not admitted", Count: count}})
	}
	denied(strings.Repeat("ff", 32), "mallet\x1b[2J", "no_map", "28000", 1)
	denied(alice, "alice", "user_not_granted", "28000", 3)
	add(Record{Event: AdminAction, CertSHA256: alice, Map: "operators", Action: &Action{Via: "console", Verb: "PAUSE", Args: []string{"orders"}, Result: "ok"}})
	add(Record{Event: SessionClose, SID: sidAlice, End: &End{Reason: "client_closed", Duration: 7 * time.Minute, Statements: 2, Errors: 1, Rows: 3}})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// found runs a search over the story and returns event:id of each line, in order.
func found(t *testing.T, dir string, cfg SearchConfig) []string {
	t.Helper()
	var got []string
	cfg.Directory = dir
	cfg.Visit = func(m *Match) error {
		label := ""
		for i, l := range m.Lines {
			if i > 0 {
				label += "+"
			}
			var v view
			h, ok := parseHead(l)
			if !ok {
				t.Fatalf("not a line: %s", l)
			}
			v.read(h)
			who := "-"
			for name, sid := range map[string]string{"alice": sidAlice, "bob": sidBob, "batch": sidBatch, "mallet": sidMallet} {
				if string(v.sid) == sid {
					who = name
				}
			}
			label += who + " " + string(h.event)
			if len(v.id) > 0 {
				label += " " + string(v.id)
			}
			if len(v.phase) > 0 && string(v.phase) != "all" {
				label += " " + string(v.phase)
			}
		}
		if m.Unknown {
			label += " unknown"
		}
		got = append(got, label)
		return nil
	}
	if err := Search(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSearch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	story(t, dir)
	for _, tt := range []struct {
		name   string
		query  Query
		joined bool
		want   []string
	}{
		{name: "event", query: Query{Event: "session.open"}, want: []string{"alice session.open", "bob session.open", "batch session.open"}},
		{name: "first part of event", query: Query{Event: "admin"}, want: []string{"- admin.action"}},
		{name: "not any beginning", query: Query{Event: "sess"}},
		{name: "cn finds statements", query: Query{CN: "alice", Event: "statement"}, want: []string{"alice statement 1", "alice statement 2"}},
		{name: "cn finds all of it", query: Query{CN: "batch"}, want: []string{"batch session.open", "batch session.close"}},
		{name: "e-mail in any case", query: Query{Email: "bob@example.COM", Event: "session"}, want: []string{"bob session.open"}},
		{name: "serial as openssl prints it", query: Query{Serial: "4F:1C", Event: "copy"}, want: []string{"alice copy 2"}},
		{name: "spiffe", query: Query{SPIFFE: "spiffe://example/batch", Event: "session.close"}, want: []string{"batch session.close"}},
		{name: "fingerprint", query: Query{Cert: "A1A1A1", Event: "statement"}, want: []string{"alice statement 1", "alice statement 2"}},
		{name: "fingerprint of a refusal", query: Query{Cert: "ffff"}, want: []string{"mallet session.denied"}},
		{name: "client address", query: Query{Client: "10.2.3.14", Event: "statement"}, want: []string{"alice statement 1", "alice statement 2"}},
		{name: "client network", query: Query{Client: "10.9.0.0/16", Event: "session.open"}, want: []string{"bob session.open", "batch session.open"}},
		{name: "role", query: Query{Role: "batch_rw"}, want: []string{"batch session.open", "batch session.close"}},
		{name: "role asked for", query: Query{Role: "postgres"}, want: []string{"mallet session.denied", "mallet session.denied"}},
		{name: "database", query: Query{Database: "stock"}, want: []string{"batch session.open", "batch session.close"}},
		{name: "map", query: Query{Map: "operators"}, want: []string{"- admin.action"}},
		{name: "SQLSTATE", query: Query{SQLState: "42501"}, want: []string{"alice statement 2"}},
		{name: "class", query: Query{SQLState: "28"}, want: []string{"mallet session.denied", "mallet session.denied"}},
		{name: "text in any case", query: Query{Text: "from PAYMENTS"}, want: []string{"alice statement 1", "alice statement 2"}},
		{name: "text over a line end", query: Query{Text: "payments\nwhere"}, want: []string{"alice statement 1"}},
		{name: "n is not the n of an escape", query: Query{Text: "nwhere"}},
		{name: "halves of a statement", query: Query{Text: "update"}, want: []string{"bob statement 1 start", "bob statement 1 end"}},
		{name: "halves, joined", query: Query{Text: "update"}, joined: true, want: []string{"bob statement 1 start+bob statement 1 end"}},
		{name: "text of one half, state of the other", query: Query{Text: "update", SQLState: "00000"}, want: []string{"bob statement 1 start+bob statement 1 end"}},
		{name: "no end", query: Query{Text: "vacuum"}, joined: true, want: []string{"bob statement 2 start unknown"}},
		{name: "since", query: Query{Since: storyStart.Add(14 * time.Minute), Event: "session"}, want: []string{"alice session.close"}},
		{name: "until", query: Query{Until: storyStart.Add(2 * time.Minute), Event: "session"}, want: []string{"alice session.open"}},
		{name: "session", query: Query{SID: sidBob, Event: "session"}, want: []string{"bob session.open"}},
		{name: "nothing", query: Query{CN: "nobody"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := found(t, dir, SearchConfig{Query: tt.query, Joined: tt.joined})
			if !slices.Equal(got, tt.want) {
				t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

func TestSearchRefusesWhatItCannotRead(t *testing.T) {
	for _, q := range []Query{{Client: "localhost"}, {SQLState: "425"}} {
		if err := Search(context.Background(), SearchConfig{Directory: t.TempDir(), Query: q}); err == nil {
			t.Errorf("%+v: no error", q)
		}
	}
}

// What a table shows of a hostile name does nothing to a terminal.
func TestRowsArePrintable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	story(t, dir)
	n := 0
	err := Search(context.Background(), SearchConfig{Directory: dir, Query: Query{Cert: "ff"}, Visit: func(m *Match) error {
		n++
		if got, want := Printable(m.Row().Who), `mallet\u001b[2J`; got != want {
			t.Errorf("who is %q, want %q", got, want)
		}
		return nil
	}})
	if err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// Every field of our lines is found, whatever stands in it; what is no line of ours ends the walk.
func TestVisitAgreesWithJSON(t *testing.T) {
	e := newTestEncoder(t, defaultText)
	for name, r := range samples() {
		l := encoded(e, r, 3)
		var want map[string]any
		if err := json.Unmarshal(l, &want); err != nil {
			t.Fatal(err)
		}
		n := 0
		visit(l, func(group, key, raw []byte) {
			v := any(want)
			if group != nil {
				v = want[string(group)]
			}
			v = v.(map[string]any)[string(key)]
			switch x := v.(type) {
			case string:
				n++
				if unquote(raw) != x {
					t.Errorf("%s: %s.%s is %q, want %q", name, group, key, raw, x)
				}
			case nil:
				if string(raw) != "null" {
					t.Errorf("%s: %s.%s is not in the line", name, group, key)
				}
			}
		})
		if n < 4 {
			t.Errorf("%s: only %d strings visited", name, n)
		}
	}
}

// Bytes from outside: no panic, and no more than what is there.
func FuzzReader(f *testing.F) {
	e := newTestEncoder(f, defaultText)
	for _, r := range samples() {
		f.Add(append(encoded(e, r, 0), '\n'))
	}
	f.Add([]byte(`{"v":1,"seq":1,"prev":"` + strings.Repeat("0", 64) + `","time":"","node":"","event":"checkpoint","checkpoint":{"note":"x"}}` + "\n{}\n\x00"))
	keys, err := LoadKeys(testKey(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := newLineReader(bytes.NewReader(b), 0)
		total := int64(0)
		for {
			l, err := in.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			total += l.size
			var v view
			if h, ok := parseHead(l.text); ok {
				v.read(h)
				rowOf(&v, nil)
			}
			openCheckpoint(l.text, keys)
			visit(l.text, func(_, _, raw []byte) { unquote(raw) })
		}
		if total != int64(len(b)) {
			t.Errorf("%d bytes in %d of lines", len(b), total)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, segmentName(streamName("gw1", storyStart), 1)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(VerifyConfig{Directory: dir, Keys: keys}); err != nil {
			t.Fatal(err)
		}
	})
}

// testKey makes a public key file.
func testKey(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := loadSigner(filepath.Join(dir, keyFile), dir, "gw1"); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, vkeyFile)
}

// A line that says what was lost before it is found like any other, by what stands behind that.
func TestSearchBehindLost(t *testing.T) {
	dir := t.TempDir()
	e := newTestEncoder(t, defaultText)
	r := stmtRecord("select 1")
	r.SID, r.Role = sidAlice, "api_rw"
	line := append(appendHead(nil, 1, hash{}), e.body(r, 12)...)
	if err := os.WriteFile(filepath.Join(dir, segmentName(streamName("gw1", storyStart), 1)), append(line, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, q := range []Query{{SID: sidAlice[:20]}, {Role: "api_rw"}, {Role: "api_rw", Text: "SELECT"}} {
		n := 0
		if err := Search(context.Background(), SearchConfig{Directory: dir, Query: q, Visit: func(m *Match) error {
			if row := m.Row(); row.SID != sidAlice || row.Detail != "select 1" {
				t.Errorf("%+v: found %+v", q, row)
			}
			n++
			return nil
		}}); err != nil || n != 1 {
			t.Errorf("%+v: %d lines, %v", q, n, err)
		}
	}
}

// Lower case as Go has it, for ASCII alone, at every place in a word of eight bytes.
func TestAppendLower(t *testing.T) {
	var all []byte
	for i := range 256 {
		all = append(all, byte(i))
	}
	for from := range 16 {
		b := all[from:]
		for i, c := range appendLower(nil, b) {
			want := b[i]
			if want >= 'A' && want <= 'Z' {
				want += 'a' - 'A'
			}
			if c != want {
				t.Fatalf("from %d: %#x becomes %#x, want %#x", from, b[i], c, want)
			}
		}
	}
}
