package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/broker/peer"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// runtimeDir is a folder for the sockets of an upgrade, short enough for them.
func runtimeDir(t *testing.T) (dir, setting string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir, fmt.Sprintf("runtime_dir = %q\n", dir)
}

// upgrade starts another process with b's configuration and returns it once b has handed over to it.
func (b *Broker) upgrade(t *testing.T) *Broker {
	t.Helper()
	next := b.World.StartConfig(t, filepath.Join(b.Dir, "pgsignet.hcl"))
	next.waitFor(t, "taken over")
	b.waitFor(t, "handed over")
	if next.Addr != b.Addr {
		t.Fatalf("the new process listens on %s, the old one did on %s", next.Addr, b.Addr)
	}
	return next
}

func (b *Broker) waitFor(t *testing.T, message string) {
	t.Helper()
	Poll(t, message, func() bool {
		ended := false
		select {
		case <-b.done:
			ended = true
		default:
		}
		found := b.Find(message) != nil // one that has handed over may end at once
		if ended && !found {
			t.Fatalf("broker ended: %v\n%s", b.exit, b.Output())
		}
		return found
	})
}

// verifyAudit wants `audit verify` to find nothing bad in a directory that several processes wrote.
func (b *Broker) verifyAudit(t *testing.T, streams int) {
	t.Helper()
	out, err := exec.Command(b.World.Binary(), "audit", "verify", filepath.Join(b.Dir, "audit")).CombinedOutput()
	if err != nil || strings.Count(string(out), ": ok ") != streams {
		t.Errorf("audit verify: %v, want %d streams\n%s", err, streams, out)
	}
}

// Two upgrades under load, in both pool modes: clients that connect for each transaction, pgbench with
// connections that stay, and clients in the middle of a transaction all keep going; each process has
// an audit stream of its own.
func TestUpgradeFailsNoTransaction(t *testing.T) {
	w := Shared(t)
	for _, tt := range []struct{ mode, pool string }{{"session", "size = 20"}, {"transaction", transactions(8)}} {
		t.Run(tt.mode, func(t *testing.T) {
			t.Parallel()
			_, dir := runtimeDir(t)
			old := w.Start(t, Options{Rules: people, Pool: tt.pool, Top: dir})
			app := w.Client("app")
			script := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(script, []byte("begin;\nselect pg_sleep(0.002);\nselect 1;\ncommit;\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			old.Connect(t, app, "app", "orders").Close(context.Background())
			var stop atomic.Bool
			var load sync.WaitGroup
			var runs [2]atomic.Int64
			for i, extra := range [][]string{{"-C", "-t", "5"}, {"-M", "prepared", "-t", "25"}} {
				load.Go(func() {
					for !stop.Load() {
						args := append([]string{"-n", "-f", script, "-c", "4", "-j", "4"}, extra...)
						out := old.pgbench(t, app, "app", args...)
						if m := processed.FindStringSubmatch(out); m == nil || m[1] != map[int]string{0: "20", 1: "100"}[i] {
							t.Errorf("a transaction failed:\n%s", out)
							return
						}
						runs[i].Add(1)
					}
				})
			}
			more := func() {
				n, m := runs[0].Load(), runs[1].Load()
				PollFor(t, time.Minute, "load on the newest process", func() bool {
					return stop.Load() || runs[0].Load() > n+1 && runs[1].Load() > m+1
				})
			}
			held := old.Connect(t, app, "app", "orders")
			tx, err := held.Begin(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			second := old.upgrade(t)
			if n := one[int](t, held, "select 7"); n != 7 {
				t.Error("a transaction of the old process was hurt")
			}
			more()
			third := second.upgrade(t)
			more()
			stop.Store(true)
			load.Wait()
			if err := tx.Commit(context.Background()); err != nil {
				t.Errorf("commit in a process two upgrades old: %v", err)
			}
			held.Close(context.Background())
			for _, b := range []*Broker{old, second} {
				if code := b.Wait(StopLimit); code != 0 {
					t.Errorf("an old process ended with status %d", code)
				}
			}
			third.Connect(t, app, "app", "orders")
			third.Signal(syscall.SIGTERM)
			third.Wait(StopLimit)
			third.verifyAudit(t, 3)
		})
	}
}

// Cancel requests, locks and the console reach the sessions of both processes.
func TestUpgradeSharesWhatIsForSessions(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	_, dir := runtimeDir(t)
	socket := socketPath(t)
	old := w.Start(t, Options{Rules: admins, Listener: "admin = true", Top: dir, Admin: fmt.Sprintf("address = \"127.0.0.1:%d\"\nsocket = %q", freePort(t), socket)})
	ctx := context.Background()
	console := old.Console(t)
	run(t, console, "LOCK CERT DN 'CN=app'")
	inOld := old.Connect(t, w.Client("alice"), "alice", "orders")
	waiting := old.Dial(t) // to the old process, which will read it after the hand-over
	next := old.upgrade(t)
	inNew := next.Connect(t, w.Client("bob"), "bob", "orders")
	if _, err := next.TryConnect(w.Client("app"), "app", "orders"); SQLState(err) != "28000" {
		t.Errorf("a lock of the old process: %v", err)
	}

	cancels := func(conn *pgx.Conn, cancel func()) {
		t.Helper()
		done := make(chan error, 1)
		go func() {
			_, err := conn.Exec(ctx, "select pg_sleep(60)")
			done <- err
		}()
		Poll(t, "the statement to run", func() bool { return w.running(t, "select pg_sleep(60)") == 1 })
		cancel()
		if err := <-done; SQLState(err) != "57014" {
			t.Errorf("cancelled: %v", err)
		}
	}
	cancels(inOld, func() {
		if err := inOld.PgConn().CancelRequest(ctx); err != nil {
			t.Error(err)
		}
	})
	cancels(inNew, func() {
		waiting.Send(cancelPacket(inNew))
		io.Copy(io.Discard, waiting)
	})
	records := next.Records("cancel", 2)
	for i, r := range records {
		if c := r["cancel"].(map[string]any); c["result"] != "delivered" || !strings.HasPrefix(c["addr"].(string), "127.0.0.1:") {
			t.Errorf("cancel %d recorded as %v", i, c)
		}
	}

	config := filepath.Join(next.Dir, "pgsignet.hcl")
	out, err := exec.Command(w.Binary(), "lock", "--config", config, "--dn", "CN=alice").CombinedOutput()
	if err != nil || string(out) != "LOCK 1\nNOTICE: the lock ends with this process: admin { locks_file } lets it outlive a restart\n" && !strings.Contains(string(out), "LOCK 1") {
		t.Errorf("lock of a session in the old process: %v %s", err, out)
	}
	if _, err := inOld.Exec(ctx, "select 1"); SQLState(err) != "57P01" {
		t.Errorf("locked: %v", err)
	}
	if n := one[int](t, inNew, "select 3"); n != 3 {
		t.Error("another session was hurt")
	}
	out, err = exec.Command(w.Binary(), "healthcheck", "--config", config).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "[+] accepting ok") {
		t.Errorf("healthcheck of the new process: %v %s", err, out)
	}
	console.Close(ctx)
	if code := old.Wait(StopLimit); code != 0 {
		t.Errorf("the old process ended with status %d", code)
	}
	if out, err = exec.Command(w.Binary(), "sessions", "--config", config).CombinedOutput(); err != nil || !strings.Contains(string(out), "CN=bob") {
		t.Errorf("console of the new process: %v %s", err, out)
	}
	next.Signal(syscall.SIGTERM)
	next.Wait(StopLimit)
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket outlives its last process: %v", err)
	}
}

func cancelPacket(conn *pgx.Conn) []byte {
	key := conn.PgConn().SecretKey()
	b := binary.BigEndian.AppendUint32(nil, uint32(12+len(key)))
	b = binary.BigEndian.AppendUint32(b, 80877102)
	b = binary.BigEndian.AppendUint32(b, conn.PgConn().PID())
	return append(b, key...)
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := pgserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Whatever goes wrong in a hand-over, the old process serves on, and the next one can take over.
func TestFailedUpgradeLeavesTheOldProcessServing(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	dir, setting := runtimeDir(t)
	old := w.Start(t, Options{Rules: people, Top: setting, Admin: fmt.Sprintf("address = \"127.0.0.1:%d\"", freePort(t))})
	alice := w.Client("alice")
	live := old.Connect(t, alice, "alice", "orders")
	serves := func(what string) {
		t.Helper()
		if n := one[int](t, live, "select 1"); n != 1 {
			t.Errorf("%s: the session was hurt", what)
		}
		old.Connect(t, alice, "alice", "orders").Close(context.Background())
	}
	say := func(c *peer.Conn, m peer.Message) *peer.Message {
		t.Helper()
		if err := c.Send(&m); err != nil {
			t.Fatal(err)
		}
		answer, files, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			f.Close()
		}
		return answer
	}
	place, err := peer.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	others := place.Others()
	if len(others) != 1 {
		t.Fatalf("processes in %s: %q", dir, others)
	}
	for step, messages := range [][]string{{peer.Take}, {peer.Take, peer.Serving}, {peer.Take, "nonsense"}, {peer.Take, peer.Serving, "nonsense"}} {
		c, err := place.Dial(t.Context(), others[0])
		if err != nil {
			t.Fatal(err)
		}
		for i, do := range messages {
			if do == "nonsense" {
				c.Send(&peer.Message{Do: do})
			} else if answer := say(c, peer.Message{Do: do, Node: "test"}); answer.Do != peer.OK || i == 0 && len(answer.Sockets) != 2 {
				t.Fatalf("%s: answered %+v", do, answer)
			}
		}
		c.Close() // as a crash would
		Poll(t, "the old process to go on", func() bool {
			return strings.Count(old.Output(), "new process has not taken over") == step+1
		})
		serves(fmt.Sprint(messages))
	}
	for _, bad := range [][]byte{{}, {0, 0}, {255, 255, 255, 255}, []byte("\x00\x00\x00\x05hello"), []byte("\x00\x00\x00\x02{}")} {
		conn, err := net.Dial("unix", filepath.Join(dir, others[0]))
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(bad)
		conn.Close()
	}
	serves("nonsense on the socket")
	if answer, err := place.Ask(t.Context(), others[0], &peer.Message{Do: peer.Take, Node: "other"}); err != nil || answer.Do != peer.Refused {
		t.Errorf("another node: %+v, %v", answer, err)
	}
	place.Close()

	// A new process that finds, with the sockets in its hands, that it cannot serve.
	taken := freeListener(t)
	text, err := os.ReadFile(filepath.Join(old.Dir, "pgsignet.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(old.Dir, "broken.hcl")
	at := bytes.Index(text, []byte("address = \"127.0.0.1:"+fmt.Sprint(old.adminPort(t))))
	text = append(append(text[:at:at], fmt.Sprintf("address = %q #", taken.Addr())...), text[at:]...)
	if err := os.WriteFile(broken, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(w.Binary(), "serve", "--config", broken).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "address already in use") || !strings.Contains(string(out), "taking over") {
		t.Errorf("a process that cannot serve: %v\n%s", err, out)
	}
	serves("a new process that cannot serve")
	old.upgrade(t)
}

func (b *Broker) adminPort(t *testing.T) int {
	t.Helper()
	line := b.Find("admin endpoint listening")
	addr, err := net.ResolveTCPAddr("tcp", line["address"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return addr.Port
}

func freeListener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// After upgrade_timeout the old process drains: idle sessions end, then, after drain_timeout, those that
// hold a transaction.
func TestUpgradeTimeoutDrains(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	_, dir := runtimeDir(t)
	old := w.Start(t, Options{Rules: people, Pool: transactions(4), Top: dir, Drain: "500ms\"\nupgrade_timeout = \"300ms"})
	ctx := context.Background()
	idle, busy := old.Connect(t, w.Client("alice"), "alice", "orders"), old.Connect(t, w.Client("bob"), "bob", "orders")
	if _, err := busy.Exec(ctx, "begin"); err != nil {
		t.Fatal(err)
	}
	next := old.upgrade(t)
	if code := old.Wait(StopLimit); code != 0 {
		t.Errorf("status %d", code)
	}
	for name, conn := range map[string]*pgx.Conn{"shutdown": idle, "drain_timeout": busy} {
		if _, err := conn.Exec(ctx, "select 1"); SQLState(err) != "57P01" {
			t.Errorf("%s: %v", name, err)
		}
		next.ended(t, name, 1)
	}
}

// SIGUSR2 starts the new process, which tells the service manager that it is the main one; the old one
// says nothing of stopping.
func TestSIGUSR2Upgrades(t *testing.T) {
	w := Shared(t)
	manager := newServiceManager(t)
	_, dir := runtimeDir(t)
	b := w.Start(t, Options{Rules: people, Top: dir})
	manager.hear("READY=1")
	b.Signal(syscall.SIGUSR2)
	var pid int
	if _, err := fmt.Sscanf(manager.hear("MAINPID="), "MAINPID=%d\nREADY=1", &pid); err != nil || pid == b.PID() {
		t.Fatalf("told %q: %v", manager.told, err)
	}
	b.Connect(t, w.Client("alice"), "alice", "orders").Close(context.Background())
	manager.hear("WATCHDOG=1")
	if strings.Contains(strings.Join(manager.told, " "), "STOPPING") {
		t.Errorf("told %q", manager.told)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	manager.hear("STOPPING=1")
	if code := b.Wait(StopLimit); code != 0 {
		t.Errorf("status %d", code)
	}
}
