package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/e2e"
)

// docs/migration.md shows what import makes of its files.
func TestMigrationShowsWhatImportWrites(t *testing.T) {
	w := &walk{dir: t.TempDir(), world: e2e.Shared(t)}
	imported := ""
	for _, b := range document(t, "docs/migration.md").Blocks {
		switch {
		case b.Is("conf", "write"):
			if err := os.WriteFile(w.path(b.Args[1]), []byte(b.Text), 0o600); err != nil {
				t.Fatal(err)
			}
		case b.Is("sh", "run"):
			w.sh(t, b.Text)
			text, err := os.ReadFile(filepath.Join(w.dir, "rules.hcl"))
			if err != nil {
				t.Fatal(err)
			}
			imported = string(text)
		case b.Lang == "hcl" && len(b.Args) == 0 && !strings.Contains(imported, b.Text):
			t.Errorf("import writes\n%s\nthe page shows\n%s", imported, b.Text)
		}
	}
	if imported == "" {
		t.Error("the page runs no import")
	}
}
