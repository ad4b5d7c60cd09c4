package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pgsignet/pgsignet/testenv/poll"
)

// A real disk that is full: in both modes callers are told, nothing is lost that was acknowledged, and
// the log goes on by itself once there is room. TestDiskFailsAndRecovers does the same over a file
// layer, for machines where a test may not mount.
func TestDiskFullOnTmpfs(t *testing.T) {
	for _, delivery := range []Delivery{BestEffort, Strict} {
		t.Run(string(delivery), func(t *testing.T) {
			dir := t.TempDir()
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
				t.Skipf("mounting a tmpfs takes root: %v", err)
			}
			defer unix.Unmount(dir, unix.MNT_DETACH)
			fullDisk(t, dir, delivery)
		})
	}
}

func fullDisk(t *testing.T, mount string, delivery Delivery) {
	dir := filepath.Join(mount, "audit")
	l := openTest(t, Config{Directory: dir, Delivery: delivery})
	ctx := context.Background()
	if err := l.AppendDurable(ctx, stmtRecord("before")); err != nil {
		t.Fatal(err)
	}
	ballast := fill512k(t, mount)
	big := strings.Repeat("x", 8000)
	var werr *WriteError
	for werr == nil {
		if err := l.AppendDurable(ctx, stmtRecord(big)); err != nil && !errors.As(err, &werr) {
			t.Fatalf("%v, want a WriteError", err)
		}
	}
	if !errors.Is(werr, syscall.ENOSPC) {
		t.Errorf("%v, want ENOSPC", werr)
	}
	if l.Healthy() == nil {
		t.Error("Healthy is nil while the disk is full")
	}
	if err := l.Append(stmtRecord("kept")); err != nil {
		t.Errorf("Append while the disk is full: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "the record to be written again", func() bool { return l.Healthy() == nil })
	if err := l.AppendDurable(ctx, stmtRecord("after")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	texts := map[string]bool{}
	for _, l := range readLines(t, dir) {
		var v view
		h, _ := parseHead(l)
		v.read(h)
		texts[unquote(v.text)] = true
	}
	for _, want := range []string{"before", "kept", "after"} {
		if !texts[want] {
			t.Errorf("%q is not in the record", want)
		}
	}
	wantClean(t, dir)
}

// fill512k leaves no room in the file system.
func fill512k(t *testing.T, mount string) string {
	t.Helper()
	path := filepath.Join(mount, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); err != nil {
			return path
		}
	}
}
