package broker

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/admin"
)

// T92: a target has one lock, the last; what cannot be stored is not in force; a lock that was removed is gone from the
// file, too, which nobody else reads; a file that is not understood is no empty list.
func TestT92LocksOutliveTheProcess(t *testing.T) {
	now := time.Now()
	lockOf := func(value, reason string) admin.Lock {
		return admin.Lock{Target: admin.Target{Kind: "sha256", Value: value}, Reason: reason}
	}
	l := &locks{file: filepath.Join(t.TempDir(), "locks.json")}
	want := func(what string, l *locks, reasons ...string) {
		t.Helper()
		var got []string
		for _, k := range l.all(now) {
			got = append(got, k.Reason)
		}
		if len(got) != len(reasons) || len(got) > 0 && got[len(got)-1] != reasons[len(reasons)-1] {
			t.Errorf("%s: locks %q, want %q", what, got, reasons)
		}
	}
	stored := func(what string, reasons ...string) {
		t.Helper()
		again := &locks{file: l.file}
		if err := again.load(); err != nil {
			t.Fatal(err)
		}
		want(what+", in the file", again, reasons...)
	}
	for _, k := range []admin.Lock{lockOf("a", "first"), lockOf("b", "other"), lockOf("a", "second")} {
		if err := l.add(k, now); err != nil {
			t.Fatal(err)
		}
	}
	want("a again", l, "other", "second")
	stored("a again", "other", "second")
	if info, err := os.Stat(l.file); err != nil {
		t.Error(err)
	} else if info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, want 0600", info.Mode())
	}
	if n, err := l.remove(lockOf("a", "").Target, now); n != 1 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	want("a removed", l, "other")
	stored("a removed", "other")

	lost := &locks{file: filepath.Join(t.TempDir(), "no", "such", "directory")}
	if lost.add(lockOf("a", "lost"), now) == nil {
		t.Error("a lock that cannot be stored is taken")
	}
	want("not stored", lost)

	l.keepNoFile()
	if err := l.add(lockOf("c", "elsewhere"), now); err != nil {
		t.Fatal(err)
	}
	want("kept elsewhere", l, "other", "elsewhere")
	stored("kept elsewhere", "other")

	if err := os.WriteFile(l.file, []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	if (&locks{file: l.file}).load() == nil {
		t.Error("a file that is not understood is taken as no locks")
	}
}
