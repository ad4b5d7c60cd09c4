package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// tighter is a policy that changes each login below in another way.
const tighter = `
deny "no bob" {
  match  { cn = "bob" }
  reason = "left"
}
map "limited" {
  match { cn = "limited" }
  role      = "alice"
  assume    = true
  databases = ["orders", "stock"]
}
map "staff" {
  match { cn = "/^(alice|limited)$" }
  role      = "$1"
  databases = ["orders", "stock"]
}
map "new" {
  match { o = "New" }
  role      = "billing_ro"
  databases = ["orders"]
}
map "team" {
  match { extension = { "1.3.6.1.4.1.55555.1.1" = "payments" } }
  roles     = ["billing_rw"]
  databases = ["orders"]
}
`

// shadowLogins are logins under `people` and what `tighter` makes of them.
var shadowLogins = []struct {
	name                 string
	shape                pki.Shape
	user, database, code string
	differs, verdict, is string // "" when nothing differs
}{
	{"another map", pki.Shape{CN: "alice"}, "alice", "orders", "", "map", "granted", "granted by staff as alice on orders"},
	{"denied", pki.Shape{CN: "bob"}, "bob", "orders", "", "verdict", "refused", "refused: denied_by_rule (no bob)"},
	{"another role", pki.Shape{CN: "limited"}, "limited", "stock", "", "map,role", "granted", "granted by limited as alice on stock"},
	{"let in", pki.Shape{CN: "a newcomer", O: []string{"New"}}, "billing_ro", "orders", "28000", "verdict", "granted", "granted by new as billing_ro on orders"},
	{"an extension that no rule read", pki.Shape{CN: "svc 1", Ext: []pki.Extension{pki.StringExtension(pki.OID{1, 3, 6, 1, 4, 1, 55555, 1, 1}, pki.UTF8String, "payments")}}, "billing_rw", "orders", "28000", "verdict", "granted", "granted by team as billing_rw on orders"},
	{"refused by both", pki.Shape{CN: "Some One"}, "alice", "orders", "28000", "", "", ""},
}

// serve --shadow decides by both policies and lets only the first count; replay finds the same
// differences in the record, and no others.
func TestShadowAndReplay(t *testing.T) {
	w := Shared(t)
	shadow := w.WriteConfig(t, Options{Rules: tighter})
	path := w.WriteConfig(t, Options{Rules: people, Top: ""})
	b := w.StartConfig(t, path, "--shadow", shadow)
	for _, tt := range shadowLogins {
		c, err := b.TryConnect(w.issue(t, w.Clients, tt.shape), tt.user, tt.database)
		if code, text := outcome(c, err); code != tt.code {
			t.Errorf("%s: %s, want SQLSTATE %q: the shadow policy must not decide", tt.name, text, tt.code)
		}
	}
	logins := append(b.Records("session.open", 3), b.Records("session.denied", 3)...)
	byCert := map[string]map[string]any{}
	for _, r := range logins {
		byCert[dig(r, "cert.subject").(string)] = r
	}
	differences := 0
	for _, tt := range shadowLogins {
		var record map[string]any
		for subject, r := range byCert {
			if strings.Contains(","+subject+",", "CN="+tt.shape.CN+",") {
				record = r
			}
		}
		differs := ""
		if list, ok := dig(record, "shadow.differs").([]any); ok {
			for i, d := range list {
				if i > 0 {
					differs += ","
				}
				differs += d.(string)
			}
			differences++
		}
		verdict, _ := dig(record, "shadow.verdict").(string)
		if differs != tt.differs || verdict != tt.verdict {
			t.Errorf("%s: shadow differs in %q with verdict %q, want %q, %q", tt.name, differs, verdict, tt.differs, tt.verdict)
		}
	}
	if differences != 5 {
		t.Errorf("%d differences recorded, want 5", differences)
	}
	Poll(t, "five differences in the log", func() bool { return b.Count("shadow policy differs") >= 5 })
	if n := b.Count("shadow policy differs"); n != 5 {
		t.Errorf("%d differences logged, want 5", n)
	}

	dir := filepath.Join(b.Dir, "audit")
	out, errs, status := w.run(t, "replay", "--config", shadow, dir)
	if status != 1 || !strings.Contains(out, "5 of 6 logins would change") {
		t.Errorf("replay: status %d, %s%s", status, out, errs)
	}
	for _, tt := range shadowLogins {
		if tt.is != "" && !strings.Contains(out, "  is  "+tt.is+"\n") {
			t.Errorf("%s: replay does not say %q:\n%s", tt.name, tt.is, out)
		}
	}
	if out, errs, status := w.run(t, "replay", "--config", path, dir); status != 0 || !strings.Contains(out, "0 of 6 logins would change") {
		t.Errorf("replay of the policy in force: status %d, %s%s", status, out, errs)
	}
	out, _, _ = w.run(t, "replay", "--json", "--config", shadow, dir)
	var last struct{ Logins, Changed, Undecidable int }
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Changed != 5 || last.Logins != 6 || len(lines) != 6 {
		t.Errorf("replay --json: %v %v\n%s", last, err, out)
	}
	undecidable(t, w, shadow, dir)
}

// undecidable replays a record whose refusal lacks the start-up parameters.
func undecidable(t *testing.T, w *World, config, dir string) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	cut := strings.ReplaceAll(string(data), `"denial":{"stage":"policy"`, `"denial":{"undecidable":true,"stage":"policy"`)
	copied := t.TempDir()
	if err := os.WriteFile(filepath.Join(copied, filepath.Base(names[0])), []byte(cut), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, status := w.run(t, "replay", "--config", config, copied)
	if status != 1 || !strings.Contains(out, "3 of 3 logins would change; 3 undecidable") {
		t.Errorf("replay of undecidable lines: status %d, %s%s", status, out, errs)
	}
}

// A shadow configuration with errors starts nothing, and says whose they are.
func TestShadowWithErrorsStartsNothing(t *testing.T) {
	w := Shared(t)
	path := w.WriteConfig(t, Options{Rules: people})
	shadow := w.WriteConfig(t, Options{Rules: "map \"x\" {}"})
	_, errs, status := w.run(t, "serve", "--config", path, "--shadow", shadow)
	if status != 78 || !strings.Contains(errs, shadow) {
		t.Errorf("status %d, want 78\n%s", status, errs)
	}
}
