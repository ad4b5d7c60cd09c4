// Package golden compares what a test got with a file under testdata, and rewrites that file when
// the test runs with -update. The difference is then reviewed as code.
//
// It does not decide what belongs in the file: callers remove whatever changes from run to run.
package golden

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files with what the tests got")

// TB is what this package uses of *testing.T.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// Updating says that the tests run with -update.
func Updating() bool { return *update }

// Bytes fails the test, with a line-by-line difference, unless the file at path (relative to the
// test's package, such as testdata/x.golden) holds exactly got. With -update it writes the file.
func Bytes(t TB, path string, got []byte) {
	t.Helper()
	want, err := os.ReadFile(path)
	if err == nil && bytes.Equal(want, got) {
		return
	}
	if Updating() {
		write(t, path, got)
		return
	}
	if errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%s does not exist; run the test with -update to make it. Got:\n%s", path, got)
	}
	if err != nil {
		t.Fatalf("golden file: %v", err)
	}
	t.Errorf("%s differs (-want +got); if this is meant, run the test with -update:\n%s",
		path, cmp.Diff(string(want), string(got)))
}

// String is Bytes for text.
func String(t TB, path, got string) {
	t.Helper()
	Bytes(t, path, []byte(got))
}

func write(t TB, path string, got []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatalf("golden file: %v", err)
	}
	if err := os.WriteFile(path, got, 0o644); err != nil {
		t.Fatalf("golden file: %v", err)
	}
	t.Logf("wrote %s", path)
}
