package pgserver_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// deathEnv makes this test binary a program that starts a server and then dies as the value says.
const deathEnv = "PGSERVER_TEST_DEATH"

// TestDyingHelper is that program; it is no test of its own.
func TestDyingHelper(t *testing.T) {
	how := os.Getenv(deathEnv)
	if how == "" {
		t.Skip("runs as a child of TestNothingOutlivesUs")
	}
	var s *pgserver.Server
	if how == "shared" {
		s = plain(t)
	} else {
		s = pgserver.Start(t, pgserver.Options{})
	}
	pid, err := s.QueryString(t.Context(), "SELECT pg_backend_pid()::text")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("child %s %s\n", s.Dir(), pid)
	switch how {
	case "panic":
		panic("as wanted")
	case "exit":
		os.Exit(3)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}

func TestNothingOutlivesUs(t *testing.T) {
	if os.Getenv("PGSIGNET_TEST_DSN") != "" {
		t.Skip("DID NOT RUN: needs a server of its own, and PGSIGNET_TEST_DSN is set")
	}
	for _, how := range []string{"return", "shared", "panic", "exit", "kill"} {
		t.Run(how, func(t *testing.T) {
			dir := runChild(t, how)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for processesIn(dir) != "" || exists(dir) {
				select {
				case <-ctx.Done():
					t.Fatalf("left behind: folder %v, processes %q", exists(dir), processesIn(dir))
				case <-time.After(10 * time.Millisecond):
				}
			}
		})
	}
}

// runChild runs this binary until it is dead and returns the folder of its server.
func runChild(t *testing.T, how string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestDyingHelper$")
	cmd.Env = append(os.Environ(), deathEnv+"="+how)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	for scan := bufio.NewScanner(out); scan.Scan(); {
		if fields := strings.Fields(scan.Text()); len(fields) == 3 && fields[0] == "child" {
			dir = fields[1]
			break
		}
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // dies on purpose
	if dir == "" {
		t.Fatal("the child started no server")
	}
	return dir
}

// processesIn lists the command lines of living processes that name the folder.
func processesIn(dir string) string {
	out, _ := exec.Command("ps", "-eo", "stat,args").Output()
	var found []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dir) && !strings.HasPrefix(line, "Z") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return strings.Join(found, "; ")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
