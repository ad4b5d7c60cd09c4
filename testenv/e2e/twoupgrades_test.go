package e2e

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/peer"
)

// Of two processes that would take over at once one does; the other says why not and ends, or comes
// later and takes over from the first. Nobody who is connected notices.
func TestTwoUpgradesAtOnce(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	dir, setting := runtimeDir(t)
	old := w.Start(t, Options{Rules: people, Top: setting})
	alice := w.Client("alice")
	live := old.Connect(t, alice, "alice", "orders")
	serves := func() {
		t.Helper()
		if n := one[int](t, live, "select 1"); n != 1 {
			t.Error("the session was hurt")
		}
		old.Connect(t, alice, "alice", "orders").Close(context.Background())
	}

	place, err := peer.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := place.Dial(t.Context(), place.Others()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(&peer.Message{Do: peer.Take, Node: "test"}); err != nil {
		t.Fatal(err)
	}
	_, files, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	// While that one is at it, this process finds both: the one that serves, and one that never answers.
	place.Close()
	out, err := exec.Command(w.Binary(), "serve", "--config", filepath.Join(old.Dir, "pgsignet.hcl")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another hand-over is under way") {
		t.Errorf("a second new process: %v\n%s", err, out)
	}
	serves()
	c.Close()
	Poll(t, "the hand-over to be given up", func() bool { return strings.Contains(old.Output(), "this one serves on") })

	started := func() int { return strings.Count(old.Output(), `"new process started"`) }
	t.Cleanup(func() {
		for _, m := range regexp.MustCompile(`"new process started","pid":(\d+)`).FindAllStringSubmatch(old.Output(), -1) {
			pid, _ := strconv.Atoi(m[1])
			syscall.Kill(pid, syscall.SIGTERM) // one of them has ended
		}
	})
	for n := range 2 {
		old.Signal(syscall.SIGUSR2)
		Poll(t, "a new process", func() bool { return started() == n+1 || old.Find("handed over") != nil })
	}
	Poll(t, "one of them to take over", func() bool { return old.Find("handed over") != nil })
	serves()
	if n := strings.Count(old.Output(), `"handed over"`); n > 2 { // the second may come when the first has done, and follow it
		t.Errorf("handed over %d times", n)
	}
}

// A process that hangs keeps the listening sockets: a new one gives up after ten seconds and says whom it
// has asked, and the old one serves on when it goes on.
func TestHungProcessIsNotReplaced(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	_, setting := runtimeDir(t)
	b := w.Start(t, Options{Rules: people, Top: setting})
	b.Signal(syscall.SIGSTOP)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	began := time.Now()
	out, err := exec.CommandContext(ctx, w.Binary(), "serve", "--config", filepath.Join(b.Dir, "pgsignet.hcl")).CombinedOutput()
	took := time.Since(began)
	b.Signal(syscall.SIGCONT)
	if err == nil || !strings.Contains(string(out), "for its sockets") || !strings.Contains(string(out), "does not answer") {
		t.Errorf("ended with %v\n%s", err, out)
	}
	if took > 100*time.Second {
		t.Errorf("it took %v to give up", took)
	}
	alice := b.Connect(t, w.Client("alice"), "alice", "orders")
	if n := one[int](t, alice, "select 5"); n != 5 {
		t.Error("the old process does not serve on")
	}
}
