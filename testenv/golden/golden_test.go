package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder stands for a test that may fail.
type recorder struct{ failed string }

func (*recorder) Helper()             {}
func (*recorder) Logf(string, ...any) {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failed += fmt.Sprintf(format, args...)
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.failed += fmt.Sprintf(format, args...)
	panic(r)
}

// run reports what f made a test say, "" when it passed.
func run(f func(TB)) (failed string) {
	r := &recorder{}
	defer func() {
		if p := recover(); p != nil && p != any(r) {
			panic(p)
		}
		failed = r.failed
	}()
	f(r)
	return r.failed
}

func setUpdate(t *testing.T, on bool) {
	saved := *update
	*update = on
	t.Cleanup(func() { *update = saved })
}

func TestBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "testdata", "x.golden")
	setUpdate(t, false)
	if got := run(func(t TB) { String(t, path, "a\n") }); !strings.Contains(got, "-update") {
		t.Errorf("missing file: said %q, want a hint to -update", got)
	}
	setUpdate(t, true)
	if got := run(func(t TB) { String(t, path, "a\n") }); got != "" {
		t.Errorf("-update failed: %s", got)
	}
	setUpdate(t, false)
	if got := run(func(t TB) { String(t, path, "a\n") }); got != "" {
		t.Errorf("equal: said %q", got)
	}
	if got := run(func(t TB) { String(t, path, "b\n") }); !strings.Contains(got, "differs") {
		t.Errorf("unequal: said %q, want a difference", got)
	}
}

func TestSection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	page := "head\n<!-- begin x -->\nold\n<!-- end x -->\ntail\n"
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	setUpdate(t, false)
	if got := run(func(t TB) { Section(t, path, "x", "old\n") }); got != "" {
		t.Errorf("equal: said %q", got)
	}
	if got := run(func(t TB) { Section(t, path, "y", "old\n") }); !strings.Contains(got, "no line") {
		t.Errorf("no such section: said %q", got)
	}
	setUpdate(t, true)
	if got := run(func(t TB) { Section(t, path, "x", "new\n") }); got != "" {
		t.Errorf("-update failed: %s", got)
	}
	got, err := os.ReadFile(path)
	if content, ok := ReadSection(string(got), "x"); !ok || content != "new\n" {
		t.Errorf("section is %q, %v, want %q", content, ok, "new\n")
	}
	if want := strings.Replace(page, "old", "new", 1); err != nil || string(got) != want {
		t.Errorf("page is %q, %v, want %q", got, err, want)
	}
}
