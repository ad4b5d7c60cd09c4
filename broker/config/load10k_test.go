//go:build !race

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/reference"
)

// TestTenThousandMapsFigure bounds a load at ten times the figure asked for: 2 s.
func TestTenThousandMapsFigure(t *testing.T) {
	dir := t.TempDir()
	if _, err := reference.Make(dir, testNow); err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile("testdata/check/good.hcl")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.Write(src)
	for i := range 10_000 {
		fmt.Fprintf(&b, "map \"team-%d\" {\n  match {\n    email = \"/^([a-z]+)@team%d\\\\.example\\\\.com$\"\n    ou = \"Team %d\"\n  }\n  role = \"\\\\1\"\n  databases = [\"orders\"]\n}\n", i, i, i)
	}
	file := filepath.Join(dir, "many.hcl")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	cfg, problems := Source{Paths: []string{file}, Now: testNow}.Load()
	elapsed := time.Since(start)
	if problems.HasErrors() {
		t.Fatal(text(t, problems))
	}
	t.Logf("%d rules, %d bytes in %v", len(cfg.Rules), b.Len(), elapsed)
	if elapsed > 20*time.Second {
		t.Errorf("loading took %v", elapsed)
	}
}
