package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pgsignet/pgsignet/testenv/golden"
)

func newTestEncoder(t testing.TB, text int, redact ...string) *encoder {
	t.Helper()
	p, err := newPrivacy(redact)
	if err != nil {
		t.Fatal(err)
	}
	return &encoder{node: "gw1", limits: newLimits(text), privacy: p}
}

// encoded is r as one line, with the head of line 410.
func encoded(e *encoder, r *Record, lost uint64) []byte {
	return append(appendHead(nil, 410, hash{0x5d, 0x1e}), e.body(r, lost)...)
}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

const (
	testSID  = "01993a9c-5f2e-7cc1-8f2b-0123456789ab"
	testCert = "9f2c4b1de0a2a9b1f34bb0f4a6f0a5c8f7d9e2c3b4a5968778695a4b3c2d1e0f"
)

// samples has a record of every event, as the design's samples have them.
func samples() map[string]*Record {
	uid := 0
	refs := func(r *Record) *Record {
		r.SID, r.CertSHA256, r.Map, r.Role, r.Database = testSID, testCert, "api", "api_rw", "orders"
		return r
	}
	all := map[string]*Record{
		"session.open": {Event: SessionOpen, SID: testSID,
			Client: &Client{Addr: "10.2.3.14:53912", Proxy: "10.2.0.2:9", Listener: "main", TLS: "1.3", Cipher: "TLS_AES_128_GCM_SHA256",
				Group: "X25519MLKEM768", ALPN: "postgresql", SNI: "gw.example", DirectTLS: true, Protocol: "3.2", App: "api"},
			Cert: &Cert{SHA256: testCert, SPKISHA256: "c07a", RootSHA256: "77ab", Serial: "4f1c", Issuer: "CN=CA", Subject: "CN=api,OU=Pay",
				CN: "api", OU: []string{"Pay"}, DNS: []string{"api.example"}, SPIFFE: "spiffe://example/api",
				Ext:       []Pair{{"1.3.6.1.4.1.55555.1.1", "payments"}},
				NotBefore: at("2026-11-01T00:00:00Z"), NotAfter: at("2026-12-01T00:00:00Z"), Revocation: "crl"},
			Rule:      &Rule{Kind: "map", Name: "api", File: "pgsignet.hcl", Line: 84, Matched: []string{"cn"}, Captures: []string{"api"}, ConfigSHA256: "e3b0"},
			Requested: &Requested{User: "api_rw", Database: "orders", Params: []Pair{{"client_encoding", "UTF8"}}},
			Granted:   &Granted{Role: "api_rw", Database: "orders", PoolMode: "session", Level: LevelFull, Expires: at("2026-12-01T00:00:00Z")},
			Upstream: &Upstream{Name: "orders", Addr: "10.2.9.5:5432", Conn: 77, PID: 20418, Generation: 3,
				CertSerial: "61aa", CertNotAfter: at("2026-11-22T09:40:00Z")},
			Setup: &Setup{TLS: 1060 * time.Microsecond, Policy: 21 * time.Microsecond, Queue: 40 * time.Microsecond, Connect: 5200 * time.Microsecond}},
		"session.denied": {Event: SessionDenied, SID: testSID,
			Client:    &Client{Addr: "10.2.3.99:40112", Listener: "main"},
			Cert:      &Cert{SHA256: "d1c8", RootSHA256: "77ab", Subject: "CN=al"},
			Rule:      &Rule{Kind: "deny", Name: "stolen", File: "pgsignet.hcl", Line: 77},
			Requested: &Requested{User: "al", Database: "orders"},
			Denial: &Denial{Stage: "policy", Reason: "denied_by_rule", SQLState: "28000", Message: "certificate not admitted",
				Detail: "reported stolen"}},
		"session.denied-folded": {Event: SessionDenied,
			Client: &Client{Addr: "10.2.3.99:40112", Listener: "main"},
			Denial: &Denial{Stage: "tls", Reason: "tls", Detail: "remote error: tls: bad certificate", Count: 31}},
		"session.close": {Event: SessionClose, SID: testSID,
			End: &End{Reason: "killed", SQLState: "57P01", Duration: 352817066 * time.Microsecond, Statements: 9, Errors: 1, Cancels: 1,
				Rows: 12, BytesIn: 20981, BytesOut: 1777}},
		"statement": refs(&Record{Event: Statement, Upstream: &Upstream{Conn: 77, PID: 20418},
			Stmt: &Stmt{ID: 3, Phase: PhaseAll, Op: "execute", Name: "S_1", Portal: "C_1",
				Text: "insert into t values ($1,$2,$3,$4) /* " + strings.Repeat("a", 40000) + " */", NParams: 4, Types: []uint32{23, 25, 17, 25},
				Params: []Value{{Bytes: []byte("118")}, {Null: true}, {Bytes: []byte{0, 1, 2}, Binary: true}, {Bytes: bytes.Repeat([]byte("Lorem "), 1520)}},
				Tags:   []string{"INSERT 0 1"}, SQLState: "00000", Rows: 1, BytesIn: 9412, BytesOut: 31,
				Queue: 40 * time.Microsecond, Exec: 1830 * time.Microsecond, Tx: 'T'}}),
		"statement-start": refs(&Record{Event: Statement, Upstream: &Upstream{Conn: 77, PID: 20418},
			Stmt: &Stmt{ID: 4, Phase: PhaseStart, Op: "query", Text: "select 1"}}),
		"statement-end": refs(&Record{Event: Statement, Upstream: &Upstream{Conn: 77, PID: 20418},
			Stmt: &Stmt{ID: 4, Phase: PhaseEnd, Op: "query", SQLState: "22012", Message: "division by zero", TextLen: 900000, TextSHA256: "8c1f", Tx: 'E'}}),
		"statement-function": refs(&Record{Event: Statement, Stmt: &Stmt{ID: 5, Phase: PhaseAll, Op: "function", OID: 953, NParams: 2,
			Params: []Value{{Bytes: []byte{}}, {Null: true}}, SQLState: "00000", Tx: 'I'}}),
		"copy": {Event: CopyDone, SID: testSID,
			Copy: &Copy{Stmt: 4, Direction: "in", Format: "text", Columns: 4, Rows: 100000, Bytes: 9437184, SQLState: "00000", Exec: 412 * time.Millisecond}},
		"cancel": {Event: CancelRequest, SID: testSID,
			Cancel: &Cancel{Addr: "10.2.3.14:53990", TLS: "1.3", CertSHA256: testCert, Stmt: 9, PID: 20418, Result: "delivered"}},
		"admin.action": {Event: AdminAction, CertSHA256: "d00d", Map: "operators",
			Action: &Action{Via: "console", Verb: "KILL", Args: []string{testSID}, Result: "ok"}},
		"admin.action-socket": {Event: AdminAction, Action: &Action{Via: "socket", UID: &uid, Phase: PhaseStart, Verb: "PAUSE"}},
		"config.reload": {Event: ConfigReload,
			Reload: &Reload{Cause: "signal", OldSHA256: "e3b0", NewSHA256: "77de", Result: "ok", Ended: 2}},
		"trust.reload": {Event: TrustReload,
			Reload: &Reload{Cause: "file", Listener: "main", CAs: []string{"77ab"}, CRLs: []string{"CN=CA 17"}, Result: "error", Error: "clients.crl: truncated"}},
		"mint": {Event: Minted,
			Mint: &Mint{Upstream: "orders", Role: "api_rw", Serial: "61aa", SHA256: "aa01", NotAfter: at("2026-11-22T09:40:00Z")}},
	}
	for _, r := range all {
		r.Time = at("2026-11-22T09:14:07.182934Z")
	}
	return all
}

func TestGoldenRecords(t *testing.T) {
	for name, r := range samples() {
		t.Run(name, func(t *testing.T) {
			got := append(encoded(newTestEncoder(t, 38), r, 0), '\n')
			path := filepath.Join("testdata", "records", name+".ndjson")
			golden.Bytes(t, path, got)
			checkLine(t, got[:len(got)-1])
		})
	}
}

// checkLine holds a line against the promises every line makes.
func checkLine(t testing.TB, l []byte) {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(l, &v); err != nil {
		t.Fatalf("not JSON: %v: %.300q", err, l)
	}
	if !utf8.Valid(l) {
		t.Errorf("not UTF-8: %.300q", l)
	}
	if len(l) > maxLine {
		t.Errorf("%d bytes, at most %d", len(l), maxLine)
	}
	for _, r := range string(l) {
		if r < 0x20 || r == 0x7f || hidden(r) {
			t.Errorf("%U stands unescaped in %.300q", r, l)
		}
	}
	if _, ok := parseHead(l); !ok {
		t.Errorf("parseHead refuses %.300q", l)
	}
}

func TestLostStandsBehindEvent(t *testing.T) {
	got := encoded(newTestEncoder(t, 0), &Record{Event: SessionClose}, 12)
	if !bytes.Contains(got, []byte(`"event":"session.close","lost":12`)) {
		t.Errorf("no lost: %s", got)
	}
}

// Whatever stands in any field of any record, the line is one line of JSON that a terminal shows
// without obeying it (A118, T30).
func TestInjectionInEveryField(t *testing.T) {
	nasty := map[string]string{
		"newline":        "a\n{\"v\":1}\r\nb",
		"nul":            "a\x00b",
		"quote":          `a"},{"event":"x`,
		"backslash":      `a\`,
		"escape":         "\x1b[2J\x1b]0;x\x07",
		"c1":             "\u009b2J\u0085",
		"del":            "a\x7f",
		"separators":     "a\u2028b\u2029c",
		"bidi":           "\u202eevil\u2066\ufeff",
		"invalid utf-8":  "a\xff\xfe\xc0\x80",
		"cut rune":       "a\xe2\x82",
		"surrogate":      "\xed\xa0\x80",
		"astral":         "a😀",
		"json in string": `\u0000`,
		"long":           strings.Repeat("ü\x00", 20_000),
		"long invalid":   strings.Repeat("\xff", 30_000),
	}
	e := newTestEncoder(t, defaultText)
	for what, s := range nasty {
		t.Log(what)
		for name, r := range samples() {
			n := fill(reflect.ValueOf(r).Elem(), s)
			if n < 2 {
				t.Fatalf("%s: only %d fields filled", name, n)
			}
			checkLine(t, encoded(e, r, 0))
		}
	}
}

// fill sets every string and byte slice below v to s, and makes lists long. It returns how many.
func fill(v reflect.Value, s string) int {
	n := 0
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
		return 1
	case reflect.Pointer:
		if !v.IsNil() {
			n += fill(v.Elem(), s)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return 0
		}
		for i := range v.NumField() {
			n += fill(v.Field(i), s)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(s))
			return 1
		}
		v.Set(reflect.MakeSlice(v.Type(), 120, 120))
		for i := range v.Len() {
			n += fill(v.Index(i), s)
		}
	}
	return n
}

// What is cut says so.
func TestCaps(t *testing.T) {
	e := newTestEncoder(t, 10)
	many := make([]string, 40)
	for i := range many {
		many[i] = "x"
	}
	for _, tt := range []struct {
		name string
		r    Record
		want []string
	}{
		{"text", Record{Stmt: &Stmt{Text: "select 'é…'"}}, []string{`"text":"select 'é","text_len":14,"truncated":true,"text_sha256":"`}},
		{"text that fits", Record{Stmt: &Stmt{Text: "select 1"}}, []string{`"text":"select 1","sqlstate"`, `"text":"select 1","rows"`}},
		{"text not UTF-8", Record{Stmt: &Stmt{Text: "'\xe9'"}}, []string{`"text_b64":"J+kn"`}},
		{"first part of a text", Record{Stmt: &Stmt{Text: "select", TextLen: 1 << 30}}, []string{`"text":"select","text_len":1073741824,"truncated":true`}},
		{"name", Record{Map: strings.Repeat("x", 2000)}, []string{`"map":"` + strings.Repeat("x", 1024) + `"`, `"cut":true}`}},
		{"list", Record{Cert: &Cert{OU: many}}, []string{`"ou":["x"` + strings.Repeat(`,"x"`, 31) + `]`, `"cut":true}`}},
		{"name not UTF-8", Record{Requested: &Requested{User: "\xe9", Params: []Pair{{"a\xe9", "\xe9"}}}},
			[]string{`"user_b64":"6Q=="`, `{"a\\xe9":{"b64":"6Q=="}}`}},
		{"value", Record{Stmt: &Stmt{Params: []Value{{Bytes: bytes.Repeat([]byte("é"), 600)}}}},
			[]string{`{"cut":"` + strings.Repeat("é", 512) + `","len":1200,"sha256":"`}},
		{"binary value", Record{Stmt: &Stmt{Params: []Value{{Bytes: make([]byte, 1025), Binary: true}}}}, []string{`{"cut_b64":"AAAA`, `"len":1025`}},
		{"null and empty", Record{Stmt: &Stmt{Params: []Value{{Null: true}, {}}}}, []string{`"params":[null,""]`}},
		{"values", Record{Stmt: &Stmt{NParams: 200, Params: make([]Value, 200), Types: make([]uint32, 200)}},
			[]string{`"nparams":200,"types":[0` + strings.Repeat(",0", 99) + `]`, `"params":[""` + strings.Repeat(`,""`, 99) + `]`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := encoded(e, &tt.r, 0)
			checkLine(t, got)
			found := false
			for _, want := range tt.want {
				found = found || bytes.Contains(got, []byte(want))
			}
			if !found {
				t.Errorf("line\n%s\nhas none of %q", got, tt.want)
			}
		})
	}
}

// Any record becomes one line of valid JSON, and text that fits comes back as it was.
func FuzzEncode(f *testing.F) {
	f.Add("select 1", "api", []byte("118"), false)
	f.Add("a\xff\n", "\x00\u2028", []byte{0xff}, true)
	f.Add(strings.Repeat("\x00", 20000), strings.Repeat("\u0085", 600), []byte(strings.Repeat("\x01", 2000)), false)
	e := newTestEncoder(f, defaultText, "[0-9]{13,19}")
	f.Fuzz(func(t *testing.T, text, name string, value []byte, binary bool) {
		r := &Record{Event: Statement, SID: name, Map: name,
			Client: &Client{App: name}, Cert: &Cert{Subject: name, OU: []string{name}, Ext: []Pair{{name, name}}},
			Stmt: &Stmt{Text: text, Params: []Value{{Bytes: value, Binary: binary}}, Tags: []string{name}}}
		l := encoded(e, r, 0)
		checkLine(t, l)
		var got struct{ Stmt struct{ Text string } }
		if err := json.Unmarshal(l, &got); err != nil {
			t.Fatal(err)
		}
		if len(text) <= 1000 && utf8.ValidString(text) && got.Stmt.Text != text && !bytes.Contains(l, []byte(`"redacted":true`)) {
			t.Errorf("text %q came back as %q", text, got.Stmt.Text)
		}
	})
}

// Times are written as timeLayout has them, whichever second came before.
func TestTimes(t *testing.T) {
	var l line
	at := time.Date(2026, 11, 22, 9, 14, 7, 182934567, time.FixedZone("", 3600))
	for _, step := range []time.Duration{0, time.Microsecond, time.Second, -time.Second, time.Hour, -182934567, 999, 0, -100 * 365 * 24 * time.Hour} {
		at = at.Add(step)
		l.reset(limits{})
		l.time(at)
		if want := at.UTC().Format(timeLayout); string(l.b) != want {
			t.Errorf("%v is written %s, want %s", at, l.b, want)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, r := range samples() {
		b.Run(name, func(b *testing.B) {
			e := newTestEncoder(b, defaultText)
			b.ReportAllocs()
			for b.Loop() {
				b.SetBytes(int64(len(e.body(r, 0))))
			}
		})
	}
}

// docs/audit.md shows one line of each kind, as they are encoded.
func TestDocumentShowsTheRecords(t *testing.T) {
	all := samples()
	all["statement"].Stmt.Text = "insert into t values ($1,$2,$3,$4)"
	all["statement"].Stmt.Params[3] = Value{Bytes: []byte("Lorem")}
	var b bytes.Buffer
	b.WriteString("```json\n")
	for _, name := range []string{"session.open", "session.denied", "statement", "statement-start", "statement-end", "copy", "cancel",
		"admin.action", "config.reload", "trust.reload", "mint", "session.close"} {
		b.Write(append(encoded(newTestEncoder(t, defaultText), all[name], 0), '\n'))
	}
	b.WriteString("```\n")
	golden.Section(t, filepath.Join("..", "..", "docs", "audit.md"), "sample records", b.String())
}

// What is remembered of a session is what would have been written: with records of sessions in turn, with
// lines that are cut, and that say what was lost.
func TestRememberedReferences(t *testing.T) {
	e := newTestEncoder(t, defaultText)
	all := make([]Refs, 5)
	for i := range all {
		r := samples()["statement"]
		all[i] = Refs{r.SID, r.CertSHA256, r.Map, r.Role, r.Database, nil}
	}
	all[1].SID = "0199-1"
	all[2].Database = strings.Repeat("d", maxName+5)
	all[3].Role = "\xff\x1b\n"
	check := func(refs *Refs, r Record, lost uint64) {
		t.Helper()
		r.SID, r.CertSHA256, r.Map, r.Role, r.Database = refs.SID, refs.CertSHA256, refs.Map, refs.Role, refs.Database
		want := string(encoded(newTestEncoder(t, defaultText), &r, lost))
		r.SID, r.CertSHA256, r.Map, r.Role, r.Database, r.refs = "x", "", "x", "x", "", refs // another session's
		if got := string(encoded(e, &r, lost)); got != want {
			t.Errorf("got  %.400s\nwant %.400s", got, want)
		}
	}
	for i := range 60 {
		check(&all[i%5], *samples()["statement"], uint64(i%3))
		check(&all[i%5], *samples()["statement"], 0)
	}
	r := *samples()["statement"]
	r.Stmt = &Stmt{Phase: PhaseAll, Op: "query", Text: strings.Repeat("\x01", maxLine)}
	for i := range 10 {
		check(&all[i%5], r, 0) // halved caps
	}
	if all[0].text == nil || all[2].text != nil {
		t.Error("what needs no cut is not remembered, or what does is")
	}
}

// plainRun is a shortcut and nothing else: at every place in a word, for every byte.
func TestQuotedByteByByte(t *testing.T) {
	for at := range 20 {
		for c := range 256 {
			around := strings.Repeat("a~ ", 8)
			text := around[:at] + string(rune(c)) + around[at:]
			got := string(appendQuoted(nil, text))
			want := `"`
			for _, r := range text {
				switch {
				case r < utf8.RuneSelf && plain[r], r >= utf8.RuneSelf && !hidden(r):
					want += string(r)
				case r < utf8.RuneSelf:
					want = string(appendEscape([]byte(want), byte(r)))
				default:
					want += fmt.Sprintf(`\u%04x`, r)
				}
			}
			if want += `"`; got != want {
				t.Fatalf("byte %#x at %d: got %s, want %s", c, at, got, want)
			}
		}
	}
}
