package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/golden"
)

func TestNoticeNamesEveryLinkedModule(t *testing.T) {
	literals(t) // reads every source file: a new import is then no cached result
	linked, err := Linked()
	if err != nil {
		t.Fatal(err)
	}
	if len(linked) < 10 {
		t.Fatalf("%d modules are too few to be true", len(linked))
	}
	path := filepath.Join(Root, "NOTICE")
	golden.String(t, path, Notice(linked))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range linked {
		if !strings.Contains(string(text), "\n  "+m.Path) {
			t.Errorf("NOTICE does not name %s (%s)", m.Path, m.Licence)
		}
	}
}
