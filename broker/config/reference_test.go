package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/reference"
)

// testNow is when the tests' certificates are looked at.
var testNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// referenceDir holds the reference configuration, every setting on or not, and the files it names.
func referenceDir(t *testing.T, everything bool) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	if _, err := reference.Make(dir, testNow); err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile("../../deploy/pgsignet.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if everything {
		src = reference.Uncomment(src)
	}
	file = filepath.Join(dir, "pgsignet.hcl")
	if err := os.WriteFile(file, src, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func text(t *testing.T, p *Problems) string {
	t.Helper()
	var b strings.Builder
	if err := p.WriteText(&b, 0, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// tree lists every path below dir.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestReferenceConfigurationLoads(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		everything           bool
		upstreams, databases int
	}{
		{"as it is", false, 1, 1},
		{"every setting on", true, 3, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, file := referenceDir(t, tt.everything)
			before := tree(t, dir)
			cfg, problems := Source{Paths: []string{file}, Now: testNow}.Load()
			if problems.HasErrors() {
				t.Fatalf("problems:\n%s", text(t, problems))
			}
			t.Logf("warnings:\n%s", text(t, problems))
			if len(cfg.Upstreams) != tt.upstreams || len(cfg.Databases) != tt.databases {
				t.Errorf("got %d upstreams and %d databases, want %d and %d", len(cfg.Upstreams), len(cfg.Databases), tt.upstreams, tt.databases)
			}
			if after := tree(t, dir); len(after) != len(before) {
				t.Errorf("files after loading: %q, before: %q", after, before)
			}
		})
	}
}
