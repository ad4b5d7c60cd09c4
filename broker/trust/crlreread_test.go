package trust

import (
	"crypto/sha256"
	"os"
	"syscall"
	"testing"
	"time"
)

// T53: a file whose times were too young to show another change when it was read is read again, although
// nothing that stat tells of it has changed; one that was old enough is not.
func TestT53RewrittenWithinAGranule(t *testing.T) {
	f := newCRLFixture(t)
	before := f.crl(f.Clients, "before.crl", revoke(f.alice))
	path := f.crl(f.Clients, "now.crl", revoke(f.bob))
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	old, err := readCRLFile(before, nil)
	if err != nil {
		t.Fatal(err)
	}
	changed := time.Unix(fi.Sys().(*syscall.Stat_t).Ctim.Unix())
	for _, tt := range []struct {
		name string
		read time.Time // when old was read, from a file of the same device, inode, size and times
		kept bool
	}{
		{"before its last change", changed.Add(-time.Hour), false}, // the clock was set back
		{"at once", changed, false},
		{"within a granule", changed.Add(racy), false},
		{"later", changed.Add(racy + 1), true},
	} {
		held := &crlFile{id: fileIDOf(fi, tt.read), hash: old.hash, lists: old.lists}
		got, err := readCRLFile(path, held)
		if err != nil {
			t.Fatal(err)
		}
		if (got == held) != tt.kept {
			t.Errorf("read %s: taken over %t, want %t", tt.name, got == held, tt.kept)
		}
		if data, _ := os.ReadFile(path); !tt.kept && got.hash != sha256.Sum256(data) {
			t.Errorf("read %s: not what the file holds now", tt.name)
		}
		seen := fileState{id: fileIDOf(fi, tt.read), hash: old.hash}
		if got := stateOf(path, maxCRLFile, seen); (got == seen) != tt.kept {
			t.Errorf("watched, read %s: taken over %t, want %t", tt.name, got == seen, tt.kept)
		}
	}
}
