package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// attackCase is one line of testdata/attacks.txt.
type attackCase struct {
	number            int
	title, proof, why string
}

func attackCases(t *testing.T) map[int]attackCase {
	t.Helper()
	text, err := os.ReadFile("testdata/attacks.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[int]attackCase{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		var c attackCase
		rest, exception, _ := strings.Cut(line, "|")
		if _, err := fmt.Sscanf(rest, "A%d %s", &c.number, &c.title); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		c.proof, c.why, _ = strings.Cut(strings.TrimSpace(exception), ": ")
		if c.proof != "" && c.proof != "component" && c.proof != "bench" || (c.proof != "") != (c.why != "") {
			t.Errorf("%q: an exception is component or bench, with its reason", line)
		}
		cases[c.number] = c
	}
	return cases
}

// The first part of the catalogue: certificates, TLS, start-up, identity.
func TestAttackListIsComplete(t *testing.T) {
	cases := attackCases(t)
	want := []int{123, 124, 125}
	for n := 1; n <= 113; n++ {
		want = append(want, n)
	}
	for _, n := range want {
		if _, ok := cases[n]; !ok {
			t.Errorf("testdata/attacks.txt has no A%d", n)
		}
	}
	if len(cases) != len(want) {
		t.Errorf("%d cases, want %d", len(cases), len(want))
	}
}

func TestEveryAttackHasItsTests(t *testing.T) {
	functions, programs, err := attackTests(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range attackCases(t) {
		if c.proof == "bench" {
			continue
		}
		if functions[c.number] == nil {
			t.Errorf("no test function is named after A%d", c.number)
		}
		switch found := programs[c.number]; {
		case found == nil && c.proof == "":
			t.Errorf("A%d has no test in testenv/e2e", c.number)
		case found != nil && c.proof == "component":
			t.Errorf("A%d has %v in testenv/e2e: drop its exception", c.number, found)
		}
	}
}

var (
	testName = regexp.MustCompile(`^Test((?:A[0-9]+)+)`)
	rowName  = regexp.MustCompile(`^A([0-9]+) `)
	aNumber  = regexp.MustCompile(`[0-9]+`)
)

// attackTests finds the test functions that are named after cases, and the functions and table rows
// of testenv/e2e that are.
func attackTests(root string) (functions, programs map[int][]string, err error) {
	functions, programs = map[int][]string{}, map[int][]string{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		program := filepath.Base(filepath.Dir(path)) == "e2e"
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if m := testName.FindStringSubmatch(n.Name.Name); m != nil && n.Recv == nil {
					for _, digits := range aNumber.FindAllString(m[1], -1) {
						note(functions, digits, n.Name.Name)
						if program {
							note(programs, digits, n.Name.Name)
						}
					}
				}
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && program {
					if m := rowName.FindStringSubmatch(text); m != nil {
						note(programs, m[1], text)
					}
				}
			}
			return true
		})
		return nil
	})
	return functions, programs, err
}

func note(where map[int][]string, digits, name string) {
	n, _ := strconv.Atoi(digits)
	where[n] = append(where[n], name)
}

func TestAttackTestsAreFound(t *testing.T) {
	dir := tree(t, map[string]string{
		"broker/trust/a_test.go": "package trust\nfunc TestA7A8Both() {}\nfunc TestA9ToA12Many() {}\nvar _ = \"A3 row\"\n",
		"testenv/e2e/b_test.go":  "package e2e\nfunc TestA10Whole() {}\nvar _ = []string{\"A11 row\", \"A 12\", \"A13\"}\n",
		"testenv/e2e/c.go":       "package e2e\nfunc TestA99NoTest() {}\n",
	})
	functions, programs, err := attackTests(dir)
	if got, want := fmt.Sprint(functions), "map[7:[TestA7A8Both] 8:[TestA7A8Both] 9:[TestA9ToA12Many] 10:[TestA10Whole]]"; got != want || err != nil {
		t.Errorf("functions %s, %v, want %s", got, err, want)
	}
	if got, want := fmt.Sprint(programs), "map[10:[TestA10Whole] 11:[A11 row]]"; got != want {
		t.Errorf("programs %s, want %s", got, want)
	}
}
