package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// T92: a lock refuses new logins, ends live sessions, and outlives a restart.
func TestT92Lock(t *testing.T) {
	w := Shared(t)
	alice := w.issue(t, w.Clients, pki.Shape{CN: "alice", SPIFFE: "spiffe://example.org/alice"})
	twin, err := pki.NewRoot(pki.Shape{RawSubject: w.Clients.X509.RawSubject})
	if err != nil {
		t.Fatal(err)
	}
	serial := alice.X509.SerialNumber
	other := w.issue(t, twin, pki.Shape{CN: "alice", Serial: serial})
	both := string(w.Clients.PEM()) + string(twin.PEM())
	for _, tt := range []struct {
		name, target string
		spares       *pki.Leaf // not meant
		cas          string
	}{
		{name: "sha256", target: "SHA256 '" + alice.SHA256() + "'", spares: w.issue(t, w.Clients, pki.Shape{CN: "alice"})},
		{name: "spki", target: "SPKI '" + spkiSHA256(alice) + "'", spares: w.issue(t, w.Clients, pki.Shape{CN: "alice"})},
		{name: "spiffe", target: "SPIFFE 'spiffe://example.org/alice'", spares: w.issue(t, w.Clients, pki.Shape{CN: "alice", SPIFFE: "spiffe://example.org/alice2"})},
		{name: "dn", target: "DN 'CN=alice'", spares: w.Client("bob")},
		{name: "serial", target: fmt.Sprintf("SERIAL '00:%X' ISSUER '%s'", serial, w.Clients.X509.Subject), cas: both, spares: other},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{}
			if tt.cas != "" {
				o.Files = map[string]string{"clients-ca.crt": tt.cas}
			}
			b := w.startConsole(t, o)
			ctx := context.Background()
			c := b.Console(t)
			who := map[bool]string{true: "bob", false: "alice"}[tt.name == "dn"]
			live := b.Connect(t, alice, "alice", "orders")
			spared := b.Connect(t, tt.spares, who, "orders")
			if tt.cas != "" { // two CAs of one name: which of them is meant, says the session that is open
				command := "LOCK CERT " + tt.target
				if _, err := c.Exec(ctx, command); SQLState(err) != "55000" {
					t.Errorf("ambiguous issuer: %v", err)
				}
				spared.Close(ctx)
				Poll(t, "the twin to leave", func() bool { return len(show(t, c, "SESSIONS")) == 2 })
			}
			if got := run(t, c, "LOCK CERT "+tt.target+" FOR '2 hours' REASON 'it''s stolen'"); got != "LOCK 1" {
				t.Errorf("tag %q", got)
			}
			if _, err := live.Exec(ctx, "select 1"); SQLState(err) != "57P01" {
				t.Errorf("live session: %v", err)
			}
			if tt.cas != "" {
				spared = b.Connect(t, tt.spares, who, "orders")
			}
			if n := one[int](t, spared, "select 1"); n != 1 {
				t.Error("another certificate was hurt")
			}
			b.ended(t, "locked", 1)
			refused := func(b *Broker) {
				t.Helper()
				if _, err := b.TryConnect(alice, "alice", "orders"); SQLState(err) != "28000" {
					t.Errorf("locked: %v", err)
				}
				denied := b.Records("session.denied", 1)
				if d := denied[len(denied)-1]["denial"].(map[string]any); d["reason"] != "locked" || !strings.Contains(d["detail"].(string), "it's stolen") {
					t.Errorf("recorded %v", d)
				}
				b.Connect(t, tt.spares, who, "orders")
			}
			refused(b)
			locks := show(t, c, "LOCKS")
			if len(locks) != 1 || locks[0]["reason"] != "it's stolen" || locks[0]["expires_at"] == nil || locks[0]["locked_by"] == "" {
				t.Errorf("SHOW LOCKS: %v", locks)
			}
			if info, err := os.Stat(filepath.Join(b.Dir, "locks.json")); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("locks file: %v, %v", info, err)
			}
			b.Signal(syscall.SIGTERM)
			b.Wait(StopLimit)
			again := w.StartConfig(t, filepath.Join(b.Dir, "pgsignet.hcl"))
			refused(again)
			c = again.Console(t)
			if got := run(t, c, "UNLOCK CERT "+tt.target); got != "UNLOCK 1" {
				t.Errorf("tag %q", got)
			}
			again.Connect(t, alice, "alice", "orders")
		})
	}
}

func spkiSHA256(leaf *pki.Leaf) string {
	return fmt.Sprintf("%x", sha256.Sum256(leaf.X509.RawSubjectPublicKeyInfo))
}

// The socket: its commands are an operator's, recorded with the uid; the command line uses it.
func TestConsoleCommandLine(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{})
	alice := b.Connect(t, w.Client("alice"), "alice", "orders")
	config := filepath.Join(b.Dir, "pgsignet.hcl")
	cli := func(args ...string) (string, error) {
		out, err := exec.Command(w.Binary(), append(args, "--config", config)...).CombinedOutput()
		return string(out), err
	}
	out, err := cli("sessions")
	if err != nil || !strings.Contains(out, "CN=alice") || !strings.Contains(out, "people") {
		t.Errorf("sessions: %v\n%s", err, out)
	}
	out, err = cli("sessions", "--json")
	var sessions []map[string]any
	if err != nil || json.Unmarshal([]byte(out), &sessions) != nil || len(sessions) != 1 || sessions[0]["role"] != "alice" {
		t.Errorf("sessions --json: %v\n%s", err, out)
	}
	if out, err = cli("pools"); err != nil || !strings.Contains(out, "orders") {
		t.Errorf("pools: %v\n%s", err, out)
	}
	if out, err = cli("kill", sessions[0]["sid"].(string)); err != nil || out != "KILL 1\n" {
		t.Errorf("kill: %v\n%s", err, out)
	}
	Poll(t, "sessions to have nothing but its columns", func() bool {
		out, err = cli("sessions")
		return err == nil && strings.HasPrefix(out, "id  sid") && strings.Count(out, "\n") == 1
	})
	if _, err := alice.Exec(context.Background(), "select 1"); SQLState(err) != "57P01" {
		t.Errorf("killed: %v", err)
	}
	if out, err = cli("lock", "--dn", "CN=alice", "--for", "1h", "--reason", "test"); err != nil || out != "LOCK 0\n" {
		t.Errorf("lock: %v\n%s", err, out)
	}
	if out, err = cli("lock", "--dn", "CN=alice", "--for", "-1h"); err == nil { // no lock for good
		t.Errorf("lock for less than no time: %s", out)
	}
	if out, err = cli("lock", "--dn", "CN=carol", "--for", "30d"); err != nil || out != "LOCK 0\n" {
		t.Errorf("lock for days: %v\n%s", err, out)
	}
	if out, err = cli("console", "show", "locks"); err != nil || !strings.Contains(out, "CN=alice") || !strings.HasPrefix(out, "kind") {
		t.Errorf("console show locks: %v\n%s", err, out)
	}
	var locks []map[string]any
	if out, err = cli("console", "SHOW LOCKS;", "--json"); err != nil || json.Unmarshal([]byte(out), &locks) != nil || len(locks) != 2 {
		t.Errorf("console SHOW LOCKS --json: %v\n%s", err, out)
	}
	if out, err = cli("console", "PAUSE", "orders"); err != nil || out != "PAUSE\n" {
		t.Errorf("console PAUSE: %v\n%s", err, out)
	}
	if out, err = cli("console", "RESUME", "orders"); err != nil || out != "RESUME\n" {
		t.Errorf("console RESUME: %v\n%s", err, out)
	}
	if out, err = cli("console", "SHOW HELP"); err != nil || !strings.Contains(out, "Console usage") {
		t.Errorf("console SHOW HELP: %v\n%s", err, out)
	}
	if out, err = cli("console", "frobnicate"); err == nil || !strings.Contains(out, "42601") {
		t.Errorf("console frobnicate: %v\n%s", err, out)
	}
	if out, err = cli("lock"); err == nil {
		t.Errorf("lock without a target: %s", out)
	}
	if _, err := b.TryConnect(w.Client("alice"), "alice", "orders"); SQLState(err) != "28000" {
		t.Errorf("locked: %v", err)
	}
	if out, err = cli("unlock", "--dn", "CN=alice"); err != nil || out != "UNLOCK 1\n" {
		t.Errorf("unlock: %v\n%s", err, out)
	}
	// A broken file keeps nobody from the socket of the broker that runs.
	b.WriteFile(t, "broken.hcl", []byte("nonsense {"))
	broken := exec.Command(w.Binary(), "pools", "--config", filepath.Join(b.Dir, "broken.hcl"))
	if text, err := broken.CombinedOutput(); err == nil || !strings.Contains(string(text), "or the socket with --socket") {
		t.Errorf("pools, with a broken file: %v\n%s", err, text)
	}
	// Nor does one that says where the socket is, however wrong the rest: the broker itself refuses it.
	b.EditConfig(t, "role", "rolle")
	if out, err = cli("sessions"); err != nil || !strings.HasPrefix(out, "id  sid") {
		t.Errorf("sessions, with a wrong file: %v\n%s", err, out)
	}
	if out, err = cli("reload"); err == nil || !strings.Contains(out, "reload refused, nothing has changed") || !strings.Contains(out, "rolle") {
		t.Errorf("reload, with a wrong file: %v\n%s", err, out)
	}
	records := b.Records("admin.action", 3)
	if a := records[0]["action"].(map[string]any); a["via"] != "socket" || a["uid"] != float64(os.Getuid()) || records[0]["cert_sha256"] != nil {
		t.Errorf("recorded %v", records[0])
	}
	cert, key := b.WriteCert(w.admin(t, "Viewers"))
	dsn := fmt.Sprintf("host=127.0.0.1 port=%s user=x dbname=pgsignet sslmode=verify-ca sslrootcert=%s sslcert=%s sslkey=%s", b.Port(), b.RootCert(), cert, key)
	if out, err = cli("pools", "--dsn", dsn); err != nil {
		t.Errorf("pools --dsn: %v\n%s", err, out)
	}
	if out, err = cli("kill", "1", "--dsn", dsn); err == nil || !strings.Contains(out, "admin access needed") {
		t.Errorf("kill --dsn as a viewer: %v\n%s", err, out)
	}
}

// RELOAD says what it has read but not put in force, as often as it is asked; SHOW CONFIG shows what is.
func TestConsoleReloadTellsWhatWaits(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{Listener: "max_clients = 50"})
	b.EditConfig(t, "max_clients = 50", "max_clients = 51")
	dsn := b.DSN(w.admin(t, "Operators"), "x", "pgsignet")
	for range 2 {
		out, notice, err := b.Psql(dsn, "RELOAD")
		if err != nil || !strings.Contains(notice, `takes effect at the next start: listener "main"`) {
			t.Errorf("RELOAD: %v\n%s%s", err, out, notice)
		}
	}
	settings := show(t, b.Console(t), "CONFIG")
	if !slices.IsSortedFunc(settings, func(a, b map[string]any) int { return strings.Compare(a["key"].(string), b["key"].(string)) }) {
		t.Error("SHOW CONFIG is not in the order of its keys")
	}
	for _, s := range settings {
		if (s["key"] == "max_client_conn" || s["key"] == "listener.main.max_clients") && s["value"] != "50" {
			t.Errorf("%s is %s, and 50 is in force", s["key"], s["value"])
		}
	}
}

// Strict: what cannot be recorded is not done, and what is done has its record first.
func TestConsoleStrictRecordsFirst(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{Audit: `delivery = "strict"`})
	run(t, b.Console(t), "RECONNECT orders")
	records := b.Records("admin.action", 2)
	first, second := records[0]["action"].(map[string]any), records[1]["action"].(map[string]any)
	if first["phase"] != "start" || first["result"] != nil || second["phase"] != "end" || second["result"] != "ok" {
		t.Errorf("recorded %v, then %v", first, second)
	}
}

func TestConsoleShutdown(t *testing.T) {
	w := Shared(t)
	for _, tt := range []struct {
		how  string
		idle string // SQLSTATE that a client in a transaction reads in the end
	}{{"SHUTDOWN", "57P01"}, {"SHUTDOWN WAIT_FOR_SERVERS", ""}} {
		b := w.startConsole(t, Options{Pool: transactions(2), Drain: "1m"})
		ctx := context.Background()
		alice := b.Connect(t, w.Client("alice"), "alice", "orders")
		tx, err := alice.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, "select 1"); err != nil {
			t.Fatal(err)
		}
		c := b.Console(t)
		c.Exec(ctx, tt.how)
		for err == nil { // SHUTDOWN does not wait for its own effect
			if _, err = tx.Exec(ctx, "select 1"); tt.idle == "" {
				break
			}
		}
		if SQLState(err) != tt.idle {
			t.Errorf("%s: %v, want SQLSTATE %q", tt.how, err, tt.idle)
		}
		tx.Rollback(ctx)
		if code := b.Wait(StopLimit); code != 0 {
			t.Errorf("%s: status %d", tt.how, code)
		}
		if b.Find("stopping by command") == nil {
			t.Errorf("%s: not logged:\n%s", tt.how, b.Output())
		}
	}
}

// psql and psycopg 3 read the console; psycopg by the extended protocol, which PgBouncer refuses
// (psycopg #817).
func TestConsoleClients(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{})
	dsn := b.DSN(w.admin(t, "Viewers"), "x", "pgbouncer")
	out, errs, err := b.Psql(dsn, "show databases; show pools; show version; set x = 1; begin; show clients; commit;")
	if err != nil || !strings.Contains(out, "orders|localhost") && !strings.Contains(out, "orders|127.0.0.1") || !strings.Contains(errs, "SET ignored") {
		t.Errorf("psql: %v\n%s%s", err, out, errs)
	}
	script := `
import psycopg, sys
with psycopg.connect(sys.argv[1]) as c:
    for binary in (False, True):
        cur = c.cursor(binary=binary)
        for what in ("POOLS", "STATS", "CLIENTS", "SESSIONS", "LISTS"):
            rows = cur.execute("SHOW " + what, prepare=True).fetchall()
            print(what, binary, len(rows), type(rows[0][1]).__name__)
    for i in range(110): # more statements than it keeps: it sends DEALLOCATE
        c.execute("SHOW VERSION --%d" % i, prepare=True)
`
	cmd := exec.Command("/usr/bin/python3", "-c", script, dsn)
	got, err := cmd.CombinedOutput()
	switch {
	case strings.Contains(string(got), "No module named"):
		t.Log("psycopg 3 is not installed (python3-psycopg): not tried")
	case err != nil || !strings.Contains(string(got), "STATS True 2 Decimal"):
		t.Errorf("psycopg: %v\n%s", err, got)
	}
}
