package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A full disk: under strict statements fail with 58030 and logins with 57P03, under best_effort
// nobody notices; both go on in a new segment once there is room.
func TestDiskFull(t *testing.T) {
	w := Shared(t)
	for _, delivery := range []string{"strict", "best_effort"} {
		t.Run(delivery, func(t *testing.T) {
			path := w.WriteConfig(t, Options{Rules: people, Audit: `delivery = "` + delivery + `"`, Admin: httpOn})
			dir := filepath.Join(filepath.Dir(path), "audit")
			mountSmall(t, dir)
			b := w.StartConfig(t, path)
			leaf := w.Client("app")
			c := b.Connect(t, leaf, "app", "orders")
			run := func(sql string) error {
				_, err := c.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
				return err
			}
			if err := run("select 'before'"); err != nil {
				t.Fatal(err)
			}
			block, batch := b.login(t, leaf, "app"), b.login(t, leaf, "app")
			block.Send(Query("begin"))
			block.ReadUntil('Z')
			batch.Send(sequence(parseMsg("", "select 1"), bindMsg("", ""), executeMsg(""), Msg('H', "")))
			batch.ReadUntil('C')
			fillDisk(t, dir)
			var failure error
			Poll(t, "the disk to be full", func() bool {
				failure = run("select '" + strings.Repeat("x", 4000) + "'")
				status, _ := get(t, b.AdminURL()+"/readyz", nil)
				return failure != nil || delivery == "best_effort" && b.metrics(t)["pgsignet_audit_healthy"] == "0" && status == 200
			})
			b.waitFor(t, "audit cannot be written")
			if delivery == "strict" {
				if SQLState(failure) != "58030" {
					t.Errorf("a statement that could not be recorded: %v, want 58030", failure)
				}
				if _, err := b.TryConnect(leaf, "app", "orders"); SQLState(err) != "57P03" {
					t.Errorf("a login that could not be recorded: %v, want 57P03", err)
				}
				if status, _ := get(t, b.AdminURL()+"/readyz", nil); status == 200 {
					t.Error("/readyz says ready")
				}
				// W24: what is half done cannot go on.
				for what, goOn := range map[string]func() Message{
					"in a transaction": func() Message { block.Send(Query("select 1")); return block.ReadError() },
					"in part of a batch": func() Message {
						batch.Send(sequence(bindMsg("", ""), executeMsg(""), syncMsg()))
						return batch.ReadError()
					},
				} {
					if m := goOn(); Field(m, 'S') != "FATAL" || Field(m, 'C') != "58030" {
						t.Errorf("%s: %s, want FATAL 58030", what, ErrorText(m))
					}
				}
			} else if failure != nil {
				t.Errorf("best_effort kept a statement back: %v", failure)
			}
			if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
				t.Fatal(err)
			}
			Poll(t, "service to resume", func() bool { return run("select 'again'") == nil && b.metrics(t)["pgsignet_audit_healthy"] == "1" })
			run("select 'after'")
			if delivery == "strict" {
				ends := 0
				for _, r := range b.Records("session.close", 2) {
					if dig(r, "end.reason") == "audit_failed" && dig(r, "end.sqlstate") == "58030" {
						ends++
					}
				}
				if ends != 2 {
					t.Errorf("%d sessions are recorded as ended by the audit, want 2", ends)
				}
			}
			Poll(t, "the record to go on", func() bool {
				for _, s := range b.statements(1) {
					if s == "query select 'after' 00000" {
						return true
					}
				}
				return false
			})
			c.Close(context.Background())
			b.Signal(syscall.SIGTERM)
			b.Wait(StopLimit)
			b.verify(t)
		})
	}
}

// A start with a full disk is not a broken configuration (78), after which systemd would not try again.
func TestStartWithAFullDisk(t *testing.T) {
	w := Shared(t)
	path := w.WriteConfig(t, Options{Rules: people})
	dir := filepath.Join(filepath.Dir(path), "audit")
	mountSmall(t, dir)
	fillDisk(t, dir)
	if _, errs, status := w.run(t, "serve", "--config", path); status != 1 || !strings.Contains(errs, "no space left on device") {
		t.Errorf("status %d, want 1\n%s", status, errs)
	}
}

// mountSmall puts a file system of 2 MiB where the record goes.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
}

// fillDisk leaves a file system a few pages.
func fillDisk(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	for {
		if _, err := f.Write(page); err != nil {
			return
		}
	}
}
