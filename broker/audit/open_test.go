package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Processes that share a directory leave each other's streams alone while they live.
func TestTwoLiveStreams(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	old := openTest(t, Config{Directory: dir})
	young := openTest(t, Config{Directory: dir})
	for _, l := range []*Log{old, young, old} {
		if err := l.AppendDurable(context.Background(), stmtRecord("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(old.Close(), young.Close()); err != nil {
		t.Fatal(err)
	}
	all := verifyDir(t, dir)
	if len(all) != 2 || len(findings(all)) != 0 {
		t.Errorf("%d streams, findings %q: want two and none", len(all), findings(all))
	}
	if locks, _ := filepath.Glob(filepath.Join(dir, "*"+lockSuffix)); len(locks) != 0 {
		t.Errorf("locks left: %q", locks)
	}
}

// The directory and its files are for their owner alone.
func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l := openTest(t, Config{Directory: dir})
	open, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, keyFile): 0o600, open[0]: 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, want %v (%v)", path, st.Mode().Perm(), want, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(open[0]); err != nil || st.Mode().Perm() != 0o400 {
		t.Errorf("a finished segment is %v, want 0400 (%v)", st.Mode().Perm(), err)
	}
	if err := os.Chmod(filepath.Join(dir, keyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Directory: dir, Node: "gw1"}); err == nil || !strings.Contains(err.Error(), "group or world access") {
		t.Errorf("Open with a key others can read: %v", err)
	}
}

// verifiesWithAnotherKey writes a stream with a key that is made anew, and verifies it with those before.
func verifiesWithAnotherKey(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	openTest(t, Config{Directory: dir}).Close()
	if got := findings(verifyDir(t, dir)); len(got) != 0 {
		t.Errorf("findings %q, want none", got)
	}
}

// With another key streams signed by the old one still verify: audit.vkey keeps both.
func TestKeyChange(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	openTest(t, Config{Directory: dir}).Close()
	verifiesWithAnotherKey(t, dir)
}

func TestNodeNames(t *testing.T) {
	for _, bad := range []string{"", "a/b", "a+b", "a b", ".a", "a\nb", "\xff", strings.Repeat("x", 65)} {
		if _, err := Open(Config{Directory: t.TempDir(), Node: bad}); err == nil {
			t.Errorf("node %q is taken", bad)
		}
	}
	for _, good := range []string{"gw1", "gw-1.example", "größe", "a[b]*"} {
		stream, seq, ok := parseSegment(segmentName(streamName(good, time.Now()), 7))
		if node, _, _ := parseStream(stream); !ok || seq != 7 || node != good {
			t.Errorf("node %q comes back as %q, %d, %v", good, node, seq, ok)
		}
	}
}

// A key that stands in audit.vkey twice, since two processes have started at once, is one key; and a last
// line without an end is not run into the next.
func TestKeyTwice(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	openTest(t, Config{Directory: dir}).Close()
	path := filepath.Join(dir, vkeyFile)
	key, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	twice := string(key) + "# of gw1\n" + strings.TrimSpace(string(key))
	if err := os.WriteFile(path, []byte(twice), 0o644); err != nil {
		t.Fatal(err)
	}
	openTest(t, Config{Directory: dir}).Close()
	verifiesWithAnotherKey(t, dir)
}
