package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/reference"
)

// TestMistakesInRules holds that what policy and policy/hclfile find comes out in its place: every
// line marked ERROR. What is said there is golden in those packages.
func TestMistakesInRules(t *testing.T) {
	dir := t.TempDir()
	if _, err := reference.Make(dir, testNow); err != nil {
		t.Fatal(err)
	}
	src := mustRead(t, "testdata/rules/mistakes.hcl")
	file := filepath.Join(dir, "mistakes.hcl")
	if err := os.WriteFile(file, src, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := Source{Paths: []string{file}, Now: testNow}.Load()
	if cfg != nil {
		t.Error("loads")
	}
	reported := map[int]bool{}
	for _, p := range problems.List() {
		if p.Severity == "error" && p.File == file {
			reported[p.Line] = true
		}
	}
	for i, line := range strings.Split(string(src), "\n") {
		if strings.Contains(line, "# ERROR") && !reported[i+1] {
			t.Errorf("nothing is said of line %d: %s", i+1, line)
		}
	}
	if t.Failed() {
		t.Log(text(t, problems))
	}
}
