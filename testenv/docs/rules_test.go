package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// testFunctions are the names of all tests of the tree.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	names, declared := map[string]bool{}, regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(Root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Every rule T1 to T95 has a test that is there, or a reason; a test that is renamed or dropped is missed.
func TestIdentityRulesAreProved(t *testing.T) {
	text, err := os.ReadFile("testdata/identity-rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	tests, n := testFunctions(t), 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		n++
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 || fields[0] != "T"+strconv.Itoa(n) || fields[1] == "" {
			t.Fatalf("line of T%d: %q, want number, title and tests", n, line)
		}
		if reason, none := strings.CutPrefix(fields[2], "- "); none {
			if len(strings.Fields(reason)) < 3 {
				t.Errorf("%s: %q is no reason", fields[0], reason)
			}
			continue
		}
		for _, name := range strings.Fields(fields[2]) {
			if !tests[name] {
				t.Errorf("%s (%s): there is no %s", fields[0], fields[1], name)
			}
		}
	}
	if n != 95 {
		t.Errorf("%d rules, want 95", n)
	}
}
