package docs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/e2e"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

// endless are commands that run until they are interrupted.
var endless = regexp.MustCompile(`^pgsignet (serve|audit tail .*--follow)`)

// untilItPrints runs a shell's command until it has printed something, and interrupts it then.
func untilItPrints(t *testing.T, run *exec.Cmd) (printed []byte, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "printed")
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	run.Stdout, run.Stderr = file, file
	run.Args[3] = "exec " + run.Args[3]
	if err := run.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	poll.Until(t, run.Args[3]+" to print something", func() bool {
		printed, err = os.ReadFile(path)
		return err != nil || len(printed) > 0
	})
	run.Process.Signal(os.Interrupt)
	select {
	case err = <-ended:
	case <-time.After(e2e.StopLimit):
		run.Process.Kill()
		return printed, fmt.Errorf("it still runs %v after an interrupt", e2e.StopLimit)
	}
	printed, _ = os.ReadFile(path)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && (exit.ExitCode() == 130 || exit.ExitCode() == -1) { // as interrupted as it was to be
		err = nil
	}
	return printed, err
}

// Blocks that are marked `live` run beside a broker with one session, line by line, as they stand but
// for the places and the certificates that they name.
func TestLiveCommands(t *testing.T) {
	w := e2e.Shared(t)
	dir, err := os.MkdirTemp("", "adm") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := w.Start(t, e2e.Options{Rules: aliceMap, Database: `identity_key = "identity.key"`,
		Files: map[string]string{"identity.key": strings.Repeat("k", 48)}, Admin: fmt.Sprintf("address = \"\"\nsocket = %q", filepath.Join(dir, "admin.sock"))})
	alice := w.Issue(w.Clients, pki.Shape{CN: "alice", Lifetime: 60 * 24 * time.Hour})
	if _, _, err := alice.Write(b.Dir, "alice"); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(b.Dir, "pgsignet.hcl")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	beside := strings.Replace(string(text), "admin.sock", "beside.sock", 1) // of a broker that a document starts
	for name, text := range map[string]string{"next.hcl": string(text), "beside.hcl": beside} {
		if err := os.WriteFile(filepath.Join(b.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conn := b.Connect(t, alice, "alice", "orders")
	defer conn.Close(t.Context())
	opened := b.Records("session.open", 1)[0]
	kept := filepath.Join(b.Dir, "kept")
	if out, err := exec.Command("sh", "-c", `mkdir "$1" && cp "$0/audit.vkey" "$1"`, filepath.Join(b.Dir, "audit"), kept).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	here := strings.NewReplacer("/var/lib/pgsignet/audit", filepath.Join(b.Dir, "audit"), "9f2c0a31...", strings.Repeat("9f", 32), "01a201b1", opened["sid"].(string)[:8], "01993a9c", opened["sid"].(string)[:8],
		"serve --config pgsignet.hcl", "serve --config beside.hcl")
	lines := 0
	for _, d := range documents(t) {
		for _, block := range d.Blocks {
			if !block.Is("sh", "live") {
				continue
			}
			for line := range strings.Lines(block.Text) {
				lines++
				run := exec.Command("sh", "-e", "-c", here.Replace(line))
				run.Dir = b.Dir
				run.Env = append(os.Environ(), "PATH="+filepath.Dir(w.Binary())+":"+os.Getenv("PATH"), "PGSIGNET_CONFIG="+config,
					"PGHOST="+w.PG.SocketDir, fmt.Sprintf("PGPORT=%d", w.PG.Port), "PGUSER="+pgserver.Superuser) // a superuser's psql
				var out []byte
				var err error
				if endless.MatchString(line) {
					out, err = untilItPrints(t, run)
				} else {
					out, err = run.CombinedOutput()
				}
				if err != nil {
					t.Errorf("%s:%d: %s: %v\n%s", d.Path, block.Line, strings.TrimSpace(line), err, out)
				}
			}
		}
	}
	if lines < 22 {
		t.Errorf("%d lines, too few to be true", lines)
	}
}
