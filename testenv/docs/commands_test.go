package docs

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/e2e"
)

func TestCommands(t *testing.T) {
	sh := Block{Lang: "sh", Text: "a --b=c 'd e' # f\n# g\nh \\\n  i && j | k\n"}
	if got, want := Commands(&sh), [][]string{{"a", "--b=c", "d e"}, {"h", "i"}, {"j"}, {"k"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("sh: got %q, want %q", got, want)
	}
	console := Block{Lang: "console", Text: "$ a b\nprinted\n"}
	if got, want := Commands(&console), [][]string{{"a", "b"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("console: got %q, want %q", got, want)
	}
}

// targets are make's.
func targets(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z]+):.*##`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return names
}

// Every command that a document tells people to run exists, with its flags: in blocks everywhere, in
// the text of the documents that say what there is.
func TestCommandLinesExist(t *testing.T) {
	literals(t) // reads every source file: a removed flag is then no cached result
	program := &Program{Path: e2e.Shared(t).Binary()}
	make := targets(t)
	check := func(doc string, line int, words []string) {
		switch {
		case len(words) < 2:
		case filepath.Base(words[0]) == "pgsignet":
			if err := program.Check(words[1:]); err != nil {
				t.Errorf("%s:%d: %s: %v", doc, line, strings.Join(words, " "), err)
			}
		case words[0] == "make" && !slices.Contains(make, words[1]):
			t.Errorf("%s:%d: no target %s", doc, line, words[1])
		}
	}
	for _, d := range documents(t) {
		for _, b := range d.Blocks {
			if b.Lang != "sh" && b.Lang != "console" {
				continue
			}
			for _, words := range Commands(&b) {
				check(d.Path, b.Line, words)
			}
		}
		if !slices.Contains([]string{"README.md", "SECURITY.md", "docs/drivers.md"}, d.Path) {
			continue
		}
		for _, code := range d.Code {
			for _, words := range split(code.Text) {
				check(d.Path, code.Line, words)
			}
		}
	}
}

// Every block of commands is run by a test, or says why not.
func TestEveryCommandIsRun(t *testing.T) {
	ran := []string{"run", "live", "deb", "systemd", "pasted", "convert"}
	for _, d := range documents(t) {
		for _, b := range d.Blocks {
			switch {
			case b.Lang == "console":
				t.Errorf("%s:%d: commands that no test runs: make it a block of sh", d.Path, b.Line)
			case b.Lang != "sh" || len(b.Args) > 0 && slices.Contains(ran, b.Args[0]):
			case b.Is("sh", "unrun") && len(b.Args) > 4:
				t.Logf("%s:%d: not run: %s", d.Path, b.Line, strings.Join(b.Args[1:], " "))
			default:
				t.Errorf("%s:%d: commands that no test runs: mark them %v, or unrun and why", d.Path, b.Line, ran)
			}
		}
	}
}

func TestProgramCheckFindsMistakes(t *testing.T) {
	program := &Program{Path: e2e.Shared(t).Binary()}
	for _, tt := range []struct{ line, want string }{
		{"check --config pgsignet.hcl", ""},
		{"check -c pgsignet.hcl --json", ""},
		{"ca issue alice --email alice@example.com", ""},
		{"audti verify", "no command"},
		{"ca isue alice", "no command"},
		{"check --conf pgsignet.hcl", "no flag"},
		{"--nonsense", "no flag"},
	} {
		err := program.Check(strings.Fields(tt.line))
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.line, err, tt.want)
		}
	}
}
