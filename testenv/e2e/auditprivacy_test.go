package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// recordText is all that the broker's record holds.
func (b *Broker) recordText() string {
	b.t.Helper()
	var all strings.Builder
	names, _ := filepath.Glob(filepath.Join(b.Dir, "audit", "*.ndjson"))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			b.t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

// What may not be recorded is not, whichever way a driver sends it: passwords in statements and in
// connection strings, what redact matches, and every literal under fingerprint_only.
func TestSecretsStayOutOfTheRecord(t *testing.T) {
	w := Shared(t)
	rules := `
		map "private" {
			match { cn = "billing_ro" }
			role      = "billing_ro"
			databases = ["orders"]
			fingerprint_only = true
		}` + people
	for _, delivery := range []string{"best_effort", "strict"} {
		t.Run(delivery, func(t *testing.T) {
			b := w.Start(t, Options{Rules: rules, Audit: `level = "full"` + "\n" + `redact = ["card-[0-9]{4}"]` + "\ndelivery = \"" + delivery + `"`})
			ctx := context.Background()
			app, private := b.Connect(t, w.Client("app"), "app", "orders"), b.Connect(t, w.Client("billing_ro"), "billing_ro", "orders")
			modes := []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement}
			sent := 0
			for i, mode := range modes {
				for _, sql := range []string{ // none succeeds; each is recorded
					"create role nobody login password 'sesame-%d'",
					"alter role app encrypted password $x$sesame-%d$x$",
					"ALTER ROLE /* or USER */ app VALID UNTIL 'infinity' PASSWORD E'sesame-%d'",
					"create subscription s connection 'host=h user=u password=sesame-%d' publication p",
					"alter subscription s connection 'postgres://u:sesame-%d@h/d'",
					"create user mapping for app server s options (user 'u', password 'sesame-%d')",
					"select 'card-444%d'",
				} {
					app.Exec(ctx, fmt.Sprintf(sql, i), mode)
					sent++
				}
				for _, sql := range []string{"select 'sesame-%d', 47110815%d", "select 'sesame-%d'::int + 47110815%d"} {
					private.Exec(ctx, fmt.Sprintf(sql, i, i), mode)
					sent++
				}
				app.Exec(ctx, "select $1::text", mode, fmt.Sprint("card-555", i))
				private.Exec(ctx, "select $1::text", mode, fmt.Sprint("sesame-", i))
				sent += 2
			}
			b.Records("statement", sent)
			text := b.recordText()
			for _, secret := range []string{"sesame", "card-", "47110815"} {
				if at := strings.Index(text, secret); at >= 0 {
					line := text[strings.LastIndexByte(text[:at], '\n')+1:]
					t.Errorf("%q is in the record: %s", secret, line[:strings.IndexByte(line, '\n')])
				}
			}
			for _, want := range []string{
				"create role nobody login password '***'", "alter role app encrypted password '***'", "PASSWORD '***'", "password '***')", "select ''***''", `"redacted":true`,
			} {
				if !strings.Contains(text, want) {
					t.Errorf("the record has no %s", want)
				}
			}
			b.verify(t)
		})
	}
}

// What SQL prepares or declares is recorded with its text, and under its name when the protocol runs it.
func TestNamesThatSQLMade(t *testing.T) {
	w := Shared(t)
	for _, delivery := range []string{"best_effort", "strict"} {
		t.Run(delivery, func(t *testing.T) {
			b := w.Start(t, Options{Rules: people, Audit: `delivery = "` + delivery + `"`})
			c := b.login(t, w.Client("app"), "app")
			for _, send := range [][]byte{
				Query("prepare p as select 'prepared by SQL'"), Query("execute p"),
				sequence(bindMsg("", "p"), executeMsg(""), syncMsg()),
				Query("begin"), Query("declare c cursor for select 'declared by SQL'"), Query("fetch 1 from c"),
				sequence(executeMsg("c"), syncMsg()),
				Query("commit"), Query("deallocate p"),
			} {
				c.Send(send)
				c.ReadUntil('Z')
			}
			want := []string{
				"query prepare p as select 'prepared by SQL' 00000", "query execute p 00000",
				"execute  00000",
				"query begin 00000", "query declare c cursor for select 'declared by SQL' 00000", "query fetch 1 from c 00000",
				"execute  00000",
				"query commit 00000", "query deallocate p 00000",
			}
			if got := b.statements(len(want)); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			named := map[string]bool{}
			for _, r := range b.readRecords("statement") {
				if s := r["stmt"].(map[string]any); s["op"] == "execute" && s["phase"] != "end" {
					named[fmt.Sprint(s["name"], " ", s["portal"])] = true
				}
			}
			if !named["p <nil>"] || !named["<nil> c"] {
				t.Errorf("statements and portals that ran: %v, want p and c", named)
			}
		})
	}
}

// Of a statement that is longer than what is looked at, the record has the whole length and hash.
func TestLongStatements(t *testing.T) {
	w := Shared(t)
	sql := "select length('" + strings.Repeat("0123456789abcdef", 20<<10) + "')"
	sum := sha256.Sum256([]byte(sql))
	for _, delivery := range []string{"best_effort", "strict"} {
		t.Run(delivery, func(t *testing.T) {
			b := w.Start(t, Options{Rules: people, Audit: `delivery = "` + delivery + `"`})
			c := b.login(t, w.Client("app"), "app")
			for _, send := range [][]byte{Query(sql), sequence(parseMsg("", sql), bindMsg("", ""), executeMsg(""), syncMsg())} {
				c.Send(send)
				c.ReadUntil('Z')
			}
			whole := 0
			for _, r := range b.Records("statement", map[string]int{"best_effort": 2, "strict": 4}[delivery]) {
				s := r["stmt"].(map[string]any)
				if text, ok := s["text"].(string); s["phase"] != "end" && (!ok || !strings.HasPrefix(sql, text) || len(text) > 16<<10 || s["truncated"] != true) {
					t.Errorf("a beginning of %d bytes, truncated %v", len(text), s["truncated"])
				}
				if s["phase"] == "start" {
					continue
				}
				if whole++; s["text_sha256"] != hex.EncodeToString(sum[:]) || s["text_len"] != float64(len(sql)) {
					t.Errorf("%v: length %v and hash %v, want %d and %x", s["op"], s["text_len"], s["text_sha256"], len(sql), sum)
				}
			}
			if whole != 2 {
				t.Errorf("%d outcomes, want 2", whole)
			}
		})
	}
}
