package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTooDeep(t *testing.T) {
	const many = 50_000
	for _, tt := range []struct {
		name, src string
		deep      bool
	}{
		{"reference", string(mustRead(t, "../../deploy/pgsignet.hcl")), false},
		{"brackets", "node = " + strings.Repeat("(", many), true},
		{"braces", strings.Repeat("x {\n", many), true},
		{"interpolation", `node = "` + strings.Repeat(`${"`, many), true},
		{"negation", "node = " + strings.Repeat("!", many) + "true", true},
		{"sum", "node = 1" + strings.Repeat(" + 1", many), true},
		{"ternary", "node = " + strings.Repeat("a ? b : ", many) + "c", true},
		{"traversal", "node = a" + strings.Repeat(".b", many), true},
		{"brackets in strings", "redact = [" + strings.Repeat(`"\\(", `, 1000) + "]", false},
		{"a rule in a comment", "# " + strings.Repeat("-", 5000) + "\nnode = \"x\"", false},
		{"a long list", "from = [" + strings.Repeat(`"10.0.0.0/8", `, 5000) + "]", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !tt.deep {
				if got := tooDeep([]byte(tt.src), "x.hcl"); got != nil {
					t.Errorf("tooDeep = %v, want none", got)
				}
				return
			}
			file := filepath.Join(t.TempDir(), "deep.hcl")
			if err := os.WriteFile(file, []byte(tt.src), 0o600); err != nil {
				t.Fatal(err)
			}
			_, problems := Load([]string{file})
			if got := text(t, problems); !strings.Contains(got, "Nested too deep") {
				t.Errorf("got %.200s", got)
			}
		})
	}
}

func mustRead(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
