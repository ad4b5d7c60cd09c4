package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// strict has every statement wait for its record.
const strict = "delivery = \"strict\"\nlevel = \"full\""

// verify runs `pgsignet audit verify` on the broker's record.
func (b *Broker) verify(t *testing.T) string {
	t.Helper()
	out, err := exec.Command(b.World.Binary(), "audit", "verify", filepath.Join(b.Dir, "audit")).CombinedOutput()
	if err != nil {
		t.Errorf("audit verify: %v\n%s", err, out)
	}
	return string(out)
}

// statements lists the outcomes in the record, oldest first, once there are at least n: op, text, SQLSTATE.
func (b *Broker) statements(n int) (list []string) {
	b.t.Helper()
	Poll(b.t, fmt.Sprintf("the outcomes of %d statements", n), func() bool {
		list = b.outcomes()
		return len(list) >= n
	})
	return list
}

func (b *Broker) outcomes() (list []string) {
	texts := make(map[string]string)
	for _, r := range b.readRecords("statement") {
		s := r["stmt"].(map[string]any)
		id := fmt.Sprint(r["sid"], s["id"])
		if text, ok := s["text"].(string); ok {
			texts[id] = text // an end has one when the server ran another than the start has
		}
		if s["phase"] != "start" {
			list = append(list, fmt.Sprintf("%v %s %v", s["op"], texts[id], s["sqlstate"]))
		}
	}
	return list
}

// message builders of the extended protocol.
func parseMsg(name, sql string) []byte { return Msg('P', name+"\x00"+sql+"\x00\x00\x00") }
func bindMsg(portal, name string, values ...string) []byte {
	body := portal + "\x00" + name + "\x00\x00\x00\x00" + string(rune(len(values)))
	for _, v := range values {
		body += "\x00\x00\x00" + string(rune(len(v))) + v
	}
	return Msg('B', body+"\x00\x00")
}
func executeMsg(portal string) []byte { return Msg('E', portal+"\x00\x00\x00\x00\x00") }
func syncMsg() []byte                 { return Msg('S', "") }

func sequence(messages ...[]byte) []byte { return bytes.Join(messages, nil) }

// login is a raw client after its login.
func (b *Broker) login(t *testing.T, leaf *pki.Leaf, user string) *Wire {
	t.Helper()
	c := b.DialTLS(t, leaf)
	c.Send(Startup(3<<16, "user", user, "database", "orders"))
	c.ReadUntil('Z')
	return c
}

// Every kind of statement by raw messages: what was sent, with its outcome, under the client's names.
func TestStatementRecords(t *testing.T) {
	w := Shared(t)
	for _, mode := range []string{"session", "transaction"} {
		for _, delivery := range []string{"best_effort", "strict"} {
			t.Run(mode+"/"+delivery, func(t *testing.T) {
				b := w.Start(t, Options{Rules: people, Pool: `mode = "` + mode + `"`, Audit: `delivery = "` + delivery + `"`})
				c := b.login(t, w.Client("app"), "app")
				for _, step := range []struct {
					send  []byte
					ready int
				}{
					{Query("select 1"), 1},
					{Query("select 1; select 2 where false; select 1/0"), 1},
					{Query(""), 1},
					{sequence(parseMsg("s1", "select $1::text"), bindMsg("", "s1", "a"), executeMsg(""), bindMsg("", "s1", "b"), executeMsg(""), syncMsg()), 1},
					{sequence(bindMsg("p", "s1", "c"), executeMsg("p"), syncMsg()), 1},
					{sequence(parseMsg("", "select broken from"), bindMsg("", ""), executeMsg(""), syncMsg()), 1},
					{sequence(bindMsg("", "nobody"), executeMsg(""), syncMsg()), 1},
					{sequence(parseMsg("", "select 1/(random()*0)::int"), bindMsg("", ""), executeMsg(""), executeMsg(""), syncMsg(), Query("select 'after'")), 2},
					{Msg('F', "\x00\x00\x06\xdb\x00\x00\x00\x00\x00\x00"), 1}, // OID 1755: no such call
				} {
					c.Send(step.send)
					for range step.ready {
						c.ReadUntil('Z')
					}
				}
				c.Close()
				b.Records("session.close", 1) // behind whatever the session did
				got := strings.Join(b.statements(11), "\n")
				want := strings.Join([]string{
					"query select 1 00000", "query select 1; select 2 where false; select 1/0 22012", "query  00000",
					"execute select $1::text 00000", "execute select $1::text 00000", "execute select $1::text 00000",
				}, "\n")
				if !strings.HasPrefix(got, want) {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				for _, line := range []string{"execute select 1/(random()*0)::int 22012", "parse select broken from 42601", "query select 'after' 00000", "26000"} {
					if !strings.Contains(got, line) {
						t.Errorf("no record has %q:\n%s", line, got)
					}
				}
				for _, r := range b.readRecords("statement") {
					if r["cert_sha256"] != w.Client("app").SHA256() && r["cert_sha256"] == nil || r["role"] != "app" || r["map"] != "people" {
						t.Errorf("references: %v", r)
					}
				}
				b.verify(t)
			})
		}
	}
}

// A name that means something else to the server than its pipeline made it look is recorded as what
// the server ran.
func TestNoPipelineHidesAStatement(t *testing.T) {
	w := Shared(t)
	for _, delivery := range []string{"best_effort", "strict"} {
		b := w.Start(t, Options{Rules: people, Audit: `delivery = "` + delivery + `"`})
		c := b.login(t, w.Client("app"), "app")
		c.Send(sequence(parseMsg("", "select 'what ran'"), syncMsg()))
		c.ReadUntil('Z')
		c.Send(sequence(bindMsg("", "nobody"), parseMsg("", "select 'innocent'"), syncMsg(), bindMsg("", ""), executeMsg(""), syncMsg()))
		c.ReadUntil('Z')
		c.ReadUntil('Z')
		Poll(t, delivery+": the statement that ran", func() bool {
			all := strings.Join(b.statements(1), "\n")
			return strings.Contains(all, "execute select 'what ran' 00000") || strings.Contains(all, "execute select 'innocent' 00000")
		})
		for _, s := range b.readRecords("statement") {
			if stmt := s["stmt"].(map[string]any); stmt["phase"] != "start" && stmt["text"] == "select 'innocent'" {
				t.Errorf("%s: recorded as run: %v", delivery, stmt)
			}
		}
	}
}

// Whatever stands in certificate, user, database, application_name and SQL: each record is one line
// of valid JSON.
func TestNothingBreaksALine(t *testing.T) {
	w := Shared(t)
	nasty := "a\n{\"v\":1}\r\x1b[31m\u2028\u202e\"\\'\t\x7f\u0085"
	b := w.Start(t, Options{Audit: `level = "full"`, Rules: `
		map "anyone" {
			match { o = "/^.*$" }
			role   = "app"
			assume = true
			databases = ["orders"]
		}`})
	leaf := w.issue(t, w.Clients, pki.Shape{Subject: pki.Name{pki.O(nasty), pki.CN(nasty)}})
	c := b.DialTLS(t, leaf)
	c.Send(Startup(3<<16, "user", nasty, "database", nasty, "application_name", nasty))
	c.Read1()
	leaf = w.issue(t, w.Clients, pki.Shape{Subject: pki.Name{pki.O("a"), pki.CN("app")}})
	c = b.DialTLS(t, leaf)
	c.Send(Startup(3<<16, "user", "app\xff", "database", "orders\xfe", "application_name", nasty+"\xff\xfe"))
	c.Read1()
	leaf = w.issue(t, w.Clients, pki.Shape{Subject: pki.Name{pki.O(`quoted "\ <b>{`), pki.CN("app")}})
	c = b.DialTLS(t, leaf)
	c.Send(Startup(3<<16, "user", "app", "database", "orders", "application_name", nasty))
	c.ReadUntil('Z')
	for _, sql := range []string{"select '" + strings.ReplaceAll(nasty, "'", "''") + "'", "select '\xff\xfe\x80'", "select 1 -- \x00 hidden", nasty} {
		c.Send(Msg('Q', sql+"\x00"))
		for {
			m, err := c.Read1()
			if err != nil {
				c = b.login(t, leaf, "app")
				break
			}
			if m.Type == 'Z' {
				break
			}
		}
	}
	c.Send(sequence(parseMsg(nasty, "select $1::text"), bindMsg(nasty, nasty, nasty), executeMsg(nasty), syncMsg()))
	c.ReadUntil('Z')
	b.Records("statement", 4)
	b.Records("session.denied", 1)
	names, _ := filepath.Glob(filepath.Join(b.Dir, "audit", "*.ndjson"))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			if bytes.HasSuffix(line, []byte("\n")) && (!json.Valid(line) || bytes.ContainsAny(line[:len(line)-1], "\x1b\r\x7f\u2028\u202e\u0085")) {
				t.Errorf("not a clean line of JSON: %q", line)
			}
		}
	}
	b.verify(t)
}
