package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each threat of docs/security.md names tests that exist, and so does docs/transparency.md.
func TestSecurityPageNamesTestsThatExist(t *testing.T) {
	exist := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, top := range []string{"broker", "cmd", "pgwire", "policy", "testenv"} {
		err := filepath.WalkDir(filepath.Join(Root, top), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
				exist[m[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	tried := 0
	for _, name := range []string{"docs/security.md", "docs/transparency.md"} {
		for _, code := range document(t, name).Code {
			if strings.HasPrefix(code.Text, "Test") {
				tried++
				if !exist[code.Text] {
					t.Errorf("%s:%d: no test %s", name, code.Line, code.Text)
				}
			}
		}
	}
	if tried < 25 {
		t.Errorf("%d tests named, too few to be true", tried)
	}
	for _, row := range document(t, "docs/security.md").Rows {
		if row.Table == "threat" && len(row.Cells) == 3 && row.Cells[0] != "threat" && !strings.Contains(row.Cells[2], "`Test") && row.Cells[0] != "---" {
			t.Errorf("docs/security.md:%d: no test tries %q", row.Line, row.Cells[0])
		}
	}
}
