package arch

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// wireRules is how many rules of the wire protocol there are.
const wireRules = 98

var testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// Every rule of the wire protocol is named with a test that there is, or with why there is none.
func TestEveryWireRuleHasItsTests(t *testing.T) {
	functions := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range testFunction.FindAllSubmatch(text, -1) {
			functions[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/wire.txt")
	if err != nil {
		t.Fatal(err)
	}
	next := 1
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		rule, proof, _ := strings.Cut(line, " | ")
		if want := fmt.Sprintf("W%d ", next); !strings.HasPrefix(rule, want) || len(rule) == len(want) {
			t.Fatalf("%q: want %sand its title", line, want)
		}
		next++
		if why, none := strings.CutPrefix(proof, "none: "); none && why != "" {
			continue
		}
		if proof == "" {
			t.Errorf("%q: no test", line)
		}
		for _, name := range strings.Fields(proof) {
			if !functions[name] {
				t.Errorf("%q: there is no %s", rule, name)
			}
		}
	}
	if next != wireRules+1 {
		t.Errorf("%d rules, want %d", next-1, wireRules)
	}
}
