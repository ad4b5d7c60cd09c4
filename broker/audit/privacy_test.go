package audit

import (
	"bytes"
	"strings"
	"testing"
)

// What must not be recorded is nowhere in the line: not in the text, not in a value, not in what the
// server said, and not as a hash that could be tried.
func TestPrivacy(t *testing.T) {
	e := newTestEncoder(t, 64, "[0-9]{13,19}")
	long := strings.Repeat("x", 64)
	token := "v1.0a1b2c3d.4711.1790000000.616c696365.434e3d616c696365." + strings.Repeat("5e", 32)
	for _, tt := range []struct {
		name   string
		stmt   Stmt
		secret string
		want   string
	}{
		{"password", Stmt{Text: "ALTER ROLE a PASSWORD 'hunter2'"}, "hunter2", `"text":"ALTER ROLE a PASSWORD '***'"`},
		{"password in an error", Stmt{Text: "ALTER ROLE a PASSWORD 'hunter2' hunter2", Message: `syntax error at or near "hunter2"`}, `near`, `"redacted":true`},
		{"connection string", Stmt{Text: "CREATE SUBSCRIPTION s CONNECTION 'host=a password=hunter2' PUBLICATION p"}, "hunter2", "CREATE SUBSCRIPTION"},
		{"pattern", Stmt{Text: "select 4111111111111111"}, "4111", `"text":"select '***'","`},
		{"pattern at the cut", Stmt{Text: long[:60] + "4111111111111111"}, "4111", `"text":"` + long[:60]},
		{"pattern behind the cut", Stmt{Text: long + "4111111111111111"}, "4111", `"truncated":true`},
		{"pattern in a value", Stmt{Params: []Value{{Bytes: []byte("4111111111111111")}}}, "4111", `"params":["'***'"]`},
		{"pattern in a message", Stmt{Message: "duplicate key 4111111111111111"}, "4111", `"message":"duplicate key '***'"`},
		{"hash of what was redacted", Stmt{Text: "select 4111111111111111", TextLen: 1 << 20, TextSHA256: "feed"}, "feed", `"text_len":1048576,"truncated":true`},
		{"identity token", Stmt{Text: "set pgsignet.token = '" + token + "'"}, token[10:20], `"redacted":true`},
		{"identity token in a value", Stmt{Params: []Value{{Bytes: []byte("a")}, {Bytes: []byte(token)}}}, token[10:20], `"params":["a","'***'"]`},
		{"fingerprint", Stmt{Text: "SELECT * FROM t WHERE id = 48213 AND a = 'x48213'", Message: "48213", FingerprintOnly: true,
			Params: []Value{{Bytes: []byte("48213")}}, TextSHA256: "48213"}, "48213", `"redacted":true`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := encoded(e, &Record{Event: Statement, Stmt: &tt.stmt}, 0)
			checkLine(t, got)
			if bytes.Contains(got, []byte(tt.secret)) {
				t.Errorf("%q is in %s", tt.secret, got)
			}
			if !bytes.Contains(got, []byte(tt.want)) {
				t.Errorf("%q is not in %s", tt.want, got)
			}
		})
	}
}
