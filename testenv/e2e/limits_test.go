package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// closed says whether the broker closes a connection without a word, for which it has that long.
func closed(c net.Conn, within time.Duration) bool {
	c.SetReadDeadline(time.Now().Add(within))
	_, err := c.Read(make([]byte, 1))
	return err != nil && !isTimeout(err)
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// T86: connections that are not logged in are capped, in all and by address, before any TLS; those
// that are logged in notice nothing.
func TestT86HalfOpenConnectionsAreCapped(t *testing.T) {
	w := Shared(t)
	for _, tt := range []struct{ limit, reason string }{
		{"half_open = 3", "half_open"},
		{"half_open_per_address = 3", "half_open_per_address"},
		{"max_clients = 1", "max_clients"}, // eight more are told why
	} {
		b := w.Start(t, Options{Rules: people, Listener: tt.limit, Admin: httpOn})
		alice := b.Connect(t, w.Client("alice"), "alice", "orders")
		room := 3
		if tt.reason == "max_clients" {
			room = 8
		}
		var idle []net.Conn
		for range room {
			idle = append(idle, b.Dial(t))
		}
		series := `pgsignet_connections{listener="main",state="half_open"}`
		Poll(t, "connections to be counted", func() bool { return b.metrics(t)[series] == fmt.Sprint(room) })
		if c := b.Dial(t); !closed(c, time.Minute) {
			t.Errorf("%s: one more is served", tt.limit)
		}
		refused := fmt.Sprintf(`pgsignet_connections_refused_total{listener="main",reason=%q}`, tt.reason)
		Poll(t, tt.limit+": one to be counted as refused", func() bool { return b.metrics(t)[refused] == "1" })
		if n := one[int](t, alice, "select 5"); n != 5 {
			t.Errorf("%s: the session was hurt", tt.limit)
		}
		for _, c := range idle {
			c.Close()
		}
		Poll(t, "connections to be forgotten", func() bool { return b.metrics(t)[series] == "0" })
		_, err := b.TryConnect(w.Client("bob"), "bob", "orders")
		if want := map[bool]string{true: "53300"}[tt.reason == "max_clients"]; SQLState(err) != want {
			t.Errorf("%s: afterwards: %v, want SQLSTATE %q", tt.limit, err, want)
		}
		if tt.reason == "max_clients" {
			alice.Close(context.Background())
			Poll(t, "room for the next", func() bool {
				c, err := b.TryConnect(w.Client("bob"), "bob", "orders")
				if err == nil {
					c.Close(context.Background())
				}
				return err == nil
			})
		}
	}
}

// T86: in a crowd that is shut out, who finds a place gets in, as if nobody else had come.
func TestT86APlaceIsFoundInACrowd(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Listener: "half_open = 3", Admin: httpOn})
	idle := []net.Conn{b.Dial(t), b.Dial(t), b.Dial(t)}
	var crowd sync.WaitGroup
	defer crowd.Wait()
	stop := make(chan struct{})
	defer close(stop)
	for range 2 {
		crowd.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if c, err := net.Dial("tcp", b.Addr); err == nil {
					closed(c, 300*time.Millisecond) // who finds a place does not keep it
					c.Close()
				}
			}
		})
	}
	Poll(t, "many to be shut out", func() bool {
		n, _ := strconv.Atoi(b.metrics(t)[`pgsignet_connections_refused_total{listener="main",reason="half_open"}`])
		return n > 100
	})
	for _, c := range idle {
		c.Close()
	}
	Poll(t, "a place", func() bool {
		c, err := b.TryConnect(w.Client("alice"), "alice", "orders")
		if err != nil {
			return false
		}
		defer c.Close(context.Background())
		return one[int](t, c, "select 5") == 5
	})
}

// Refusals are held back, longer each time, and logins are not.
func TestLoginBackoff(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Listener: `login_backoff = "200ms"`})
	alice := w.Client("alice")
	began := time.Now()
	for range 5 {
		if _, err := b.TryConnect(alice, "bob", "orders"); SQLState(err) != "28000" {
			t.Fatal(err)
		}
	}
	if took, least := time.Since(began), 550*time.Millisecond; took < least { // 0, 50, 100, 200, 200
		t.Errorf("five refusals took %v, want %v at least", took, least)
	}
	b.Connect(t, alice, "alice", "orders")
}

// W88: too few descriptors for the configured limits is an error that names the limit.
func TestW88DescriptorsAreChecked(t *testing.T) {
	w := Shared(t)
	path := w.WriteConfig(t, Options{Rules: people})
	out, err := exec.Command("sh", "-c", `ulimit -n 256 && exec "$0" serve --config "$1"`, w.Binary(), path).CombinedOutput()
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != 78 || !strings.Contains(string(out), "RLIMIT_NOFILE allows 256 open files") {
		t.Errorf("%v: %s", err, out)
	}
}

// RELOAD at the console and on the command line: taken whole, or refused with the reason.
func TestConsoleReload(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{})
	c := b.Console(t)
	config := filepath.Join(b.Dir, "pgsignet.hcl")
	if got := run(t, c, "RELOAD"); got != "RELOAD" {
		t.Errorf("tag %q", got)
	}
	out, err := exec.Command(w.Binary(), "reload", "--config", config).CombinedOutput()
	if err != nil || string(out) != "RELOAD\n" {
		t.Errorf("reload: %v: %s", err, out)
	}
	if err := exec.Command("sh", "-c", `echo 'nonsense {' >> "$0"`, config).Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(context.Background(), "RELOAD"); SQLState(err) != "55000" {
		t.Errorf("broken file: %v", err)
	}
	records := b.Records("config.reload", 4)
	last := records[len(records)-1]["reload"].(map[string]any)
	if last["cause"] != "command" || last["result"] != "error" {
		t.Errorf("recorded %v", last)
	}
}

// The service manager is told when the broker is ready, alive, reloading and stopping, and how long that may take.
func TestServiceManagerIsTold(t *testing.T) {
	w := Shared(t)
	manager := newServiceManager(t)
	b := w.Start(t, Options{Rules: people, Drain: "5m"})
	manager.hear("WATCHDOG=1")
	if manager.told[0] != "READY=1\nSTATUS=serving" {
		t.Errorf("told %q", manager.told)
	}
	b.Signal(syscall.SIGHUP)
	manager.hear("RELOADING=1\nMONOTONIC_USEC=")
	if said := manager.hear("READY=1"); !strings.Contains(said, "\nSTATUS=serving; configuration reloaded 20") {
		t.Errorf("after a reload told %q", said)
	}
	if err := exec.Command("sh", "-c", `echo 'nonsense {' >> "$0"`, filepath.Join(b.Dir, "pgsignet.hcl")).Run(); err != nil {
		t.Fatal(err)
	}
	b.Signal(syscall.SIGHUP)
	manager.hear("RELOADING=1")
	if said := manager.hear("READY=1"); !strings.Contains(said, "\nSTATUS=serving with the configuration before; a reload failed 20") {
		t.Errorf("after a reload that failed told %q", said)
	}
	b.Signal(syscall.SIGTERM)
	if said := manager.hear("STOPPING=1"); !strings.Contains(said, "\nEXTEND_TIMEOUT_USEC=315000000") {
		t.Errorf("told %q: systemd would end a long drain after TimeoutStopSec", said)
	}
}

// A listener takes the socket that systemd has opened under its name.
func TestSocketActivation(t *testing.T) {
	w := Shared(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	path := w.WriteConfig(t, Options{Rules: people, Listener: `socket = "main"`})
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=main exec "$0" serve --config "$1"`, w.Binary(), path)
	cmd.ExtraFiles = []*os.File{file}
	b := w.StartCommand(t, path, cmd)
	if b.Addr != l.Addr().String() {
		t.Errorf("listens on %s, want %s", b.Addr, l.Addr())
	}
	b.Connect(t, w.Client("alice"), "alice", "orders")
}
