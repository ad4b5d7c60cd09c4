package hclfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/hclfile"
)

// TestDiagnostics compares what is said of the files in testdata/bad with the text beside each.
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".hcl"), func(t *testing.T) {
			got := report(t, name)
			golden := strings.TrimSuffix(name, ".hcl") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// report writes every diagnostic of a file as `check` shows them.
func report(t *testing.T, name string) string {
	parser := hclparse.NewParser()
	f, diags := parser.ParseHCLFile(name)
	diags = hclfile.ExplainEscapes(diags)
	if f != nil && f.Body != nil && !diags.HasErrors() {
		set, more := hclfile.Decode(f.Body, parser.Files())
		diags = append(append(diags, more...), set.Diagnostics(policy.Check(config(set)))...)
	}
	slices.SortStableFunc(diags, func(a, b *hcl.Diagnostic) int { return a.Subject.Start.Byte - b.Subject.Start.Byte })
	var out bytes.Buffer
	if err := hcl.NewDiagnosticTextWriter(&out, parser.Files(), 100, false).WriteDiagnostics(diags); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
