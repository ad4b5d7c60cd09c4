package hclfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/policy"
)

// FuzzRules holds the reader of rules to its contract: any text is read or refused, what it finds
// has its place in the file, and rules that compile decide.
func FuzzRules(f *testing.F) {
	for _, pattern := range []string{"testdata/*.hcl", "testdata/*/*.hcl", "../testdata/*.hcl"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			src, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			for block := range strings.SplitSeq(string(src), "\n}\n") {
				f.Add(block + "\n}\n")
			}
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		set, diags := decode(t, src)
		c := config(set)
		findings := policy.Check(c)
		for _, d := range append(diags, set.Diagnostics(findings)...) {
			if d.Subject == nil || d.Summary == "" || d.Detail == "" {
				t.Fatalf("a finding without place or text: %+v", d)
			}
		}
		if diags.HasErrors() {
			return
		}
		p, err := policy.Compile(c)
		if err != nil {
			return
		}
		policy.RunTests(p, set.Tests, noon, noCert)
	})
}
