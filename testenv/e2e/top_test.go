package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPTY returns both ends of a new terminal of 200 columns.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 80}); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// top on a terminal: sessions, then pools, a filter, and the terminal as it was.
func TestTop(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{})
	b.Connect(t, w.Client("alice"), "alice", "orders")
	b.Connect(t, w.Client("bob"), "bob", "orders")
	config := filepath.Join(b.Dir, "pgsignet.hcl")
	out, err := exec.Command(w.Binary(), "top", "--config", config).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "CN=alice") || !strings.Contains(string(out), "cl_active") {
		t.Errorf("without a terminal: %v\n%s", err, out)
	}

	master, slave := openPTY(t)
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(w.Binary(), "top", "--config", config, "--interval", "200ms")
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var screen string
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := master.Read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			screen += string(buf[:n])
			mu.Unlock()
		}
	}()
	// shows waits for a frame that holds all of these and none of those behind "-".
	shows := func(words ...string) {
		t.Helper()
		Poll(t, "top to show "+strings.Join(words, " "), func() bool {
			mu.Lock()
			defer mu.Unlock()
			frames := strings.Split(screen, "\x1b[H")
			if len(frames) < 3 {
				return false
			}
			frame := frames[len(frames)-2] // the last that is whole
			for _, word := range words {
				without, absent := strings.CutPrefix(word, "-")
				if strings.Contains(frame, without) == absent {
					return false
				}
			}
			return true
		})
	}
	shows("2 sessions", "CN=alice", "CN=bob", "stmt/s")
	master.WriteString("/alice\r")
	shows("1 sessions", "CN=alice", "-CN=bob")
	master.WriteString("/\rp")
	shows("pools", "cl_active")
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 12}); err != nil {
		t.Fatal(err)
	}
	shows("database*", "-cl_active")
	master.WriteString("p")

	// Top outlives the broker, and shows the next one.
	b.Signal(syscall.SIGTERM)
	b.Wait(time.Minute)
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 3, Col: 80}); err != nil {
		t.Fatal(err)
	}
	shows("no broker answers", "id*")
	b = w.StartConfig(t, config)
	shows("0 sessions", "q quit", "-no broker answers")

	// A broker that does not answer keeps nobody in top.
	b.Signal(syscall.SIGSTOP)
	defer b.Signal(syscall.SIGCONT)
	shows("has not answered since")
	master.WriteString("q")
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("q: %v", err)
		}
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		t.Fatal("q does not end it")
	}
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || after.Lflag != before.Lflag {
		t.Errorf("the terminal is not as it was: %v", err)
	}
}
