package suites

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSourcesOf(t *testing.T) {
	for _, tt := range []struct{ name, file, in, want string }{
		{
			"one line", "sources.list",
			"# comment\ndeb http://h/debian bookworm main contrib\ndeb [signed-by=/k] http://h/s bookworm-security main\n",
			"# comment\ndeb-src http://h/debian bookworm main contrib\ndeb-src [signed-by=/k] http://h/s bookworm-security main\n",
		},
		{"both kinds already", "x.list", "deb http://h d main\ndeb-src http://h d main\n", "deb-src http://h d main\n"},
		{"commented out stays so", "x.list", "# deb http://h d main\n", "# deb http://h d main\n"},
		{
			"deb822", "debian.sources",
			"Types: deb\n# kept\nURIs: http://h/debian\nSuites: bookworm\n\nTypes: deb deb-src\nURIs: http://h/s\n",
			"Types: deb-src\n# kept\nURIs: http://h/debian\nSuites: bookworm\n\nTypes: deb-src\nURIs: http://h/s\n",
		},
		{"deb822 switched off stays so", "x.sources", "Enabled: no\nTypes: deb\n", "Enabled: no\nTypes: deb-src\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sourcesOf(tt.file)(tt.in)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.in, diff)
			}
		})
	}
	if sourcesOf("nodesource.sources.disabled") != nil {
		t.Error("a file that apt does not read is converted")
	}
}

func TestWriteSourcesKeepsTheLayout(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write(t, filepath.Join(from, "sources.list.d", "a.sources"), "Types: deb\n")
	write(t, filepath.Join(from, "sources.list.d", "b.list"), "deb http://h d main\n")
	write(t, filepath.Join(from, "sources.list.d", "c.save"), "deb http://h d main\n")
	if err := writeSources(from, to); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a.sources": "Types: deb-src\n", "b.list": "deb-src http://h d main\n"} {
		if got, err := os.ReadFile(filepath.Join(to, "sources.list.d", name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(to, "sources.list.d", "c.save")); err == nil {
		t.Error("c.save was taken over")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestParseRegress(t *testing.T) {
	got := parseRegress(strings.Join([]string{
		"(using postmaster on localhost, port 5432)",
		"============== dropping database \"regression\"         ==============",
		"test test_setup                   ... ok          320 ms",
		"parallel group (3 tests):  varchar char boolean",
		"     boolean                      ... ok           58 ms",
		"     char                         ... FAILED       31 ms",
		"     varchar                      ... FAILED (test process exited with exit code 2)       31 ms",
		"test random                       ... failed (ignored)       12 ms",
		"",
	}, "\n"))
	if diff := cmp.Diff([]string{"boolean", "test_setup"}, got.Passed); diff != "" {
		t.Errorf("passed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"char", "random", "varchar"}, got.Failed); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
}

func TestCompareFiles(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write(t, filepath.Join(a, "same.out"), "1\n")
	write(t, filepath.Join(b, "same.out"), "1\n")
	write(t, filepath.Join(a, "other.out"), "1\n")
	write(t, filepath.Join(b, "other.out"), "2\n")
	write(t, filepath.Join(b, "only.out"), "")
	total, differ, err := CompareFiles(a, b)
	if err != nil || total != 3 {
		t.Fatalf("got %d files, %v, want 3", total, err)
	}
	var names []string
	for _, d := range differ {
		names = append(names, d.Test)
	}
	if diff := cmp.Diff([]string{"only.out", "other.out"}, names); diff != "" {
		t.Errorf("differ (-want +got):\n%s", diff)
	}
}

func TestList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.list")
	write(t, path, "# head\nfailed a  # because\nskipped b  # no such server\nfailed c  # \nmaybe failed e  # races\nmaybe failed f  # races\n")
	want, err := ReadList(path)
	if err != nil {
		t.Fatal(err)
	}
	got := (&Result{Passed: []string{"b"}, Failed: []string{"a", "c", "d", "e"}}).List()
	if diff := cmp.Diff([]string{
		"listed without a reason: failed c",
		"listed, but no longer so: skipped b",
		"not in the list: failed d",
	}, want.Drift(got)); diff != "" {
		t.Errorf("drift (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("failed a  # because\nfailed c  # \nfailed d  # \nmaybe failed e  # races\nmaybe failed f  # races\n", want.Update(got).String()); diff != "" {
		t.Errorf("update (-want +got):\n%s", diff)
	}
	if none, err := ReadList(path + ".none"); err != nil || len(none) != 0 {
		t.Errorf("a missing list reads as %v, %v, want an empty one", none, err)
	}
}

func TestBeside(t *testing.T) {
	got := List{"failed a": "", "failed b": "", "failed races": ""}
	direct := List{"failed a": "", "failed c": ""}
	want := List{"failed b": "", "direct alone failed c": ""}
	if diff := cmp.Diff(want, got.Beside(direct, List{"maybe failed races": "races"})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseGoTest(t *testing.T) {
	var b bytes.Buffer
	for _, line := range []string{
		`{"Action":"pass","Package":"github.com/jackc/pgx/v5","Test":"TestA"}`,
		`{"Action":"output","Package":"github.com/jackc/pgx/v5/pgconn","Test":"TestB","Output":"why\n"}`,
		`{"Action":"fail","Package":"github.com/jackc/pgx/v5/pgconn","Test":"TestB"}`,
		`{"Action":"skip","Package":"github.com/jackc/pgx/v5/pgconn","Test":"TestC"}`,
		`{"Action":"fail","Package":"github.com/jackc/pgx/v5/pgconn"}`,
		`{"Action":"fail","Package":"github.com/jackc/pgx/v5/stdlib"}`,
		`{"Action":"pass","Package":"github.com/jackc/pgx/v5"}`,
	} {
		b.WriteString(line + "\n")
	}
	got, err := parseGoTest(&b)
	if err != nil {
		t.Fatal(err)
	}
	want := &Result{Passed: []string{"TestA"}, Failed: []string{"pgconn.TestB", "stdlib"}, Skipped: []string{"pgconn.TestC"}, Output: "why\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
