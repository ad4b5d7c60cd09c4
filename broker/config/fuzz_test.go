package config

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad holds that no file makes Load panic, that a refusal always says something, and that both
// forms of what it says can be written.
func FuzzLoad(f *testing.F) {
	inputs, err := filepath.Glob("testdata/check/*.hcl")
	if err != nil || len(inputs) == 0 {
		f.Fatalf("no inputs: %v", err)
	}
	for _, name := range append(inputs, "../../deploy/pgsignet.hcl") {
		f.Add(mustRead(f, name))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, src []byte) {
		file := filepath.Join(dir, "fuzz.hcl")
		if err := os.WriteFile(file, src, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, problems := Source{Paths: []string{file}, Now: testNow}.Load()
		if (cfg == nil) != problems.HasErrors() {
			t.Fatalf("config %v, errors %v", cfg != nil, problems.HasErrors())
		}
		if cfg == nil && problems.Error() == "" {
			t.Fatal("refused without a word")
		}
		if err := problems.WriteText(io.Discard, 80, true); err != nil {
			t.Fatal(err)
		}
		if err := problems.WriteJSON(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
}
