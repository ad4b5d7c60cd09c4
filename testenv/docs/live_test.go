package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/e2e"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// Blocks that are marked `live` run beside a broker with one session, line by line, as they stand but
// for the places and the certificates that they name.
func TestLiveCommands(t *testing.T) {
	w := e2e.Shared(t)
	dir, err := os.MkdirTemp("", "adm") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := w.Start(t, e2e.Options{Rules: aliceMap, Admin: fmt.Sprintf("address = \"\"\nsocket = %q", filepath.Join(dir, "admin.sock"))})
	alice := w.Issue(w.Clients, pki.Shape{CN: "alice", Lifetime: 60 * 24 * time.Hour})
	if _, _, err := alice.Write(b.Dir, "alice"); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(b.Dir, "pgsignet.hcl")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.Dir, "next.hcl"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	conn := b.Connect(t, alice, "alice", "orders")
	defer conn.Close(t.Context())
	here := strings.NewReplacer("/var/lib/pgsignet/audit", filepath.Join(b.Dir, "audit"), "9f2c0a31...", strings.Repeat("9f", 32))
	lines := 0
	for _, d := range documents(t) {
		for _, block := range d.Blocks {
			if !block.Is("sh", "live") {
				continue
			}
			for line := range strings.Lines(block.Text) {
				lines++
				cmd := exec.Command("sh", "-e", "-c", here.Replace(line))
				cmd.Dir = b.Dir
				cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(w.Binary())+":"+os.Getenv("PATH"), "PGSIGNET_CONFIG="+config)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s:%d: %s: %v\n%s", d.Path, block.Line, strings.TrimSpace(line), err, out)
				}
			}
		}
	}
	if lines < 15 {
		t.Errorf("%d lines, too few to be true", lines)
	}
}
