package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/golden"
	"github.com/pgsignet/pgsignet/testenv/reference"
)

// TestCheck holds what is printed about each mistake. The files that the configurations name are
// those of the reference, and the odd ones of makeOdd.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	set, err := reference.Make(dir, testNow)
	if err != nil {
		t.Fatal(err)
	}
	makeOdd(t, dir, set)
	plain := strings.NewReplacer(dir, "$DIR", "0640 or less, since root owns it", "0600 or less")
	inputs, err := filepath.Glob("testdata/check/*.hcl")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	for _, input := range inputs {
		name := filepath.Base(input)
		t.Run(strings.TrimSuffix(name, ".hcl"), func(t *testing.T) {
			src, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, src, 0o600); err != nil {
				t.Fatal(err)
			}
			before := len(tree(t, dir))
			_, problems := Source{Paths: []string{file}, Now: testNow}.Load()
			golden.String(t, strings.TrimSuffix(input, ".hcl")+".golden", plain.Replace(text(t, problems)))
			if after := len(tree(t, dir)); after != before {
				t.Errorf("%d files, %d before: loading must make none", after, before)
			}
		})
	}
}
