package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// ended waits for the end of an idle session and returns the error that its client then reads.
func (c *Wire) ended() (Message, time.Duration) {
	c.t.Helper()
	began := time.Now()
	m := c.ReadError()
	return m, time.Since(began)
}

// open logs in over raw bytes.
func (b *Broker) open(t testing.TB, leaf *pki.Leaf, user, database string, params ...string) *Wire {
	t.Helper()
	c := b.DialTLS(t, leaf)
	c.Send(Startup(3<<16, append([]string{"user", user, "database", database}, params...)...))
	c.ReadUntil('Z')
	return c
}

// sane says that a session works and still has the same server connection.
func sane(t testing.TB, c *pgx.Conn) {
	t.Helper()
	var pid uint32
	if err := c.QueryRow(context.Background(), "select pg_backend_pid()", pgx.QueryExecModeExec).Scan(&pid); err != nil {
		t.Errorf("a session beside was disturbed: %v", err)
	} else if pid != c.PgConn().PID() {
		t.Errorf("a session beside changed its server connection from %d to %d", c.PgConn().PID(), pid)
	}
}

// TestReloadEndsExactlyWhomItConcerns: a deny, a map taken away, another role, another pool mode and a
// database that is gone each end the sessions that lose by it, with 57P01, and nobody else (T65).
func TestReloadEndsExactlyWhomItConcerns(t *testing.T) {
	w := Shared(t)
	const rules = `
map "alice" {
  match { cn = "alice" }
  role      = "alice"
  databases = ["orders"]
}
map "bob" {
  match { cn = "bob" }
  role      = "bob"
  databases = ["orders"]
}
#deny
`
	for _, tt := range []struct{ name, from, to string }{
		{"a deny", "#deny", "deny \"stolen\" {\n  match { sha256 = \"SHA256\" }\n}"},
		{"the map is gone", `match { cn = "alice" }`, `match { cn = "carol" }`},
		{"the role is another", `role      = "alice"`, "role = \"limited\"\nassume = true"},
		{"the database is not granted", "role      = \"alice\"\n  databases = [\"orders\"]", "role = \"alice\"\n databases = [\"stock\"]"},
		{"the pool mode is another", "role      = \"alice\"", "role = \"alice\"\n pool_mode = \"transaction\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := w.Start(t, Options{Rules: rules})
			bob := b.Connect(t, w.Client("bob"), "bob", "orders")
			leaf := w.Client("alice")
			alice := b.open(t, leaf, "alice", "orders")
			b.EditConfig(t, tt.from, strings.ReplaceAll(tt.to, "SHA256", leaf.SHA256()))
			record := b.Reload(t)
			if dig(record, "reload.result") != "ok" || dig(record, "reload.ended") != 1.0 || dig(record, "reload.cause") != "signal" {
				t.Errorf("audit: %v", record["reload"])
			}
			m, took := alice.ended()
			if Field(m, 'C') != "57P01" || strings.Contains(string(m.Body), "stolen") || strings.Contains(Field(m, 'M'), "alice") {
				t.Errorf("the client reads %s", ErrorText(m))
			}
			if took > 20*time.Second {
				t.Errorf("ended after %v, the figure is 2 s", took)
			}
			closed := b.Records("session.close", 1)[0]
			if dig(closed, "end.reason") != "policy_changed" || dig(closed, "end.sqlstate") != "57P01" {
				t.Errorf("audit: %v", closed["end"])
			}
			sane(t, bob)
			Poll(t, "the server connection to be closed", func() bool { return w.Backends(t, "alice") == 0 })
		})
	}
}

// TestReloadKeepsWhatDoesNotConcernAccess: limits, settings, names and lines bind new sessions only.
func TestReloadKeepsWhatDoesNotConcernAccess(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	alice := b.Connect(t, w.Client("alice"), "alice", "orders")
	b.EditConfig(t, `map "people" {`, "# moved down\n\nmap \"humans\" {\n  session {\n    settings = { work_mem = \"5MB\" }\n  }")
	if record := b.Reload(t); dig(record, "reload.result") != "ok" || dig(record, "reload.ended") != 0.0 {
		t.Errorf("audit: %v", record["reload"])
	}
	sane(t, alice)
	if got := one[string](t, alice, "show work_mem"); got == "5MB" {
		t.Error("a live session took over a new setting")
	}
	again := b.Connect(t, w.Client("alice"), "alice", "orders")
	if got := one[string](t, again, "show work_mem"); got != "5MB" {
		t.Errorf("a new session has work_mem %s, want 5MB", got)
	}
}

// A reload that names other hosts, or another target, is not for later: idle connections to the old ones serve nobody
// any more, and sessions keep the one that they have.
func TestReloadOfHostsTakesIdleConnections(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Pool: `max_lifetime = "24h"`})
	alice := b.Connect(t, w.Client("alice"), "alice", "orders")
	kept := one[int32](t, alice, "select pg_backend_pid()")
	bob := b.Connect(t, w.Client("bob"), "bob", "orders")
	idle := one[int32](t, bob, "select pg_backend_pid()")
	bob.Close(context.Background())
	there := func() bool {
		return one[int](t, alice, fmt.Sprintf("select count(*) from pg_stat_activity where pid = %d", idle)) > 0
	}
	if !there() {
		t.Fatal("the pool has not kept bob's connection")
	}
	hosts := fmt.Sprintf("%q, ", w.PG.Addr())
	b.EditConfig(t, hosts, hosts+`"127.0.0.1:1", `)
	if record := b.Reload(t); dig(record, "reload.result") != "ok" || dig(record, "reload.ended") != 0.0 {
		t.Errorf("audit: %v", record["reload"])
	}
	Poll(t, "bob's connection to end", func() bool { return !there() })
	if pid := one[int32](t, alice, "select pg_backend_pid()"); pid != kept {
		t.Errorf("alice's connection was %d and is %d", kept, pid)
	}
	b.Connect(t, w.Client("bob"), "bob", "orders")
}

// TestA116BadReloadChangesNothing: anything wrong, anywhere, leaves everything as it was, and says why.
func TestA116BadReloadChangesNothing(t *testing.T) {
	w := Shared(t)
	for _, tt := range []struct {
		name, from, to string
		file, content  string
		want           string
	}{
		{name: "syntax", from: `node = "test"`, to: `node = "test`, want: "pgsignet.hcl"},
		{name: "a test block fails", from: `audit {`, want: `test "alice"`, to: `
test "alice" {
  cert     = { cn = "alice" }
  user     = "alice"
  database = "orders"
  expect   = { allow = true }
}
audit {`},
		{name: "a CA file is garbage", from: `"clients-ca.crt"`, to: `"clients-ca.crt", "junk.crt"`, file: "junk.crt", content: "junk", want: "junk.crt"},
		{name: "a CRL is garbage", from: `client_ca =`, to: "crl = [\"junk.crl\"]\n  client_ca =", file: "junk.crl", content: "junk", want: "junk.crl"},
		{name: "an upstream CA is missing", from: `ca_file = "servers-ca.crt"`, to: `ca_file = "nowhere.crt"`, want: "nowhere.crt"},
		{name: "a new listener", from: `upstream "pg" {`, want: "needs a restart", to: `
listener "side" {
  address   = "127.0.0.1:0"
  cert_file = "server.crt"
  key_file  = "server.key"
  client_ca = ["clients-ca.crt"]
}
upstream "pg" {`},
		{name: "another address", from: `127.0.0.1:0`, to: `127.0.0.2:0`, want: "needs a restart"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := w.Start(t, Options{Rules: people})
			alice := b.Connect(t, w.Client("alice"), "alice", "orders")
			if tt.file != "" {
				b.WriteFile(t, tt.file, []byte(tt.content))
			}
			// Beside the error: what must not take effect.
			b.EditConfig(t, tt.from, tt.to, `map "people" {`, "deny \"everybody\" {\n  match { cn = \"alice\" }\n}\nmap \"people\" {")
			record := b.Reload(t)
			text, _ := dig(record, "reload.error").(string)
			if dig(record, "reload.result") != "error" || !strings.Contains(text, tt.want) {
				t.Errorf("audit: %v, want an error with %q", record["reload"], tt.want)
			}
			b.waitFor(t, "configuration not reloaded")
			sane(t, alice)
			again := b.Connect(t, w.Client("alice"), "alice", "orders")
			if sha := dig(b.Records("session.open", 2)[1], "rule.config_sha256"); sha != dig(record, "reload.old_sha256") {
				t.Errorf("a later login was decided under %v, want the old configuration", sha)
			}
			sane(t, again)
		})
	}
}

// TestReloadSaysWhatNeedsARestart: such settings are named, the rest takes effect.
func TestReloadSaysWhatNeedsARestart(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Listener: `handshake_timeout = "5s"`})
	b.EditConfig(t, `node = "test"`, `node = "other"`, `handshake_timeout = "5s"`, `handshake_timeout = "7s"`, `["orders", "stock"]`, `["orders"]`)
	if record := b.Reload(t); dig(record, "reload.result") != "ok" {
		t.Fatalf("audit: %v", record["reload"])
	}
	Poll(t, "the log to name what was not taken up", func() bool {
		return strings.Contains(b.Output(), `"setting":"node"`) && strings.Contains(b.Output(), `listener \"main\"`)
	})
	if _, err := b.TryConnect(w.Client("alice"), "alice", "stock"); SQLState(err) != "28000" {
		t.Errorf("got %v, want the new rules in force", err)
	}
}

// TestSIGQUITWritesStacks: and the broker goes on; SIGUSR1 changes nothing.
func TestSIGQUITWritesStacks(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	alice := b.Connect(t, w.Client("alice"), "alice", "orders")
	sane(t, alice) // its relay runs
	b.Signal(3)
	b.Signal(10)
	Poll(t, "the stacks", func() bool {
		out := b.Output()
		return strings.Contains(out, "goroutine 1 [") && strings.Contains(out, "relay.(*Session).Run") && strings.Contains(out, "nothing to open")
	})
	sane(t, alice)
}

// TestStartSaysWhichTestsFail: a broker that was started with a failed test serves, and says so once. It is the
// next reload that would not work.
func TestStartSaysWhichTestsFail(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people + `
test "nobody is let in" {
  cert     = { cn = ["alice"] }
  user     = "alice"
  database = "orders"
  expect   = { allow = false }
}
`})
	line := b.Find("tests of the configuration fail")
	if line == nil {
		t.Fatal("the log does not say that a test fails")
	}
	if text, _ := line["error"].(string); line["level"] != "error" || !strings.Contains(text, `test "nobody is let in" (`) {
		t.Errorf("log: %v", line)
	}
	sane(t, b.Connect(t, w.Client("alice"), "alice", "orders"))
}
