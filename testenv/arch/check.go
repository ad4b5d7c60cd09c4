// Package arch holds the import policy of the repository and a few limits that keep files readable,
// and checks a source tree against them.
//
// It parses files itself, in this process: `go list` in a child process would let a test pass from
// Go's test cache when it should fail. It does not type-check anything.
package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Limits of a Go file, in lines. Above the first a file is named in the test's log, above the second
// the test fails.
const (
	LongFile    = 400
	TooLongFile = 600
)

// Report is what Check found.
type Report struct {
	Violations []string // file: what is wrong, sorted
	Warnings   []string
	Packages   []string // below Module, sorted
}

// checker walks one tree.
type checker struct {
	root  string
	table []Rule
	fset  *token.FileSet
	report
}

type report = Report

// Check reads every Go file and document below root and compares it with the table. Nested modules,
// hidden folders and testdata are left out. The error is of reading, not of what was read.
func Check(root string, table []Rule) (*Report, error) {
	c := &checker{root: root, table: table, fset: token.NewFileSet()}
	if err := filepath.WalkDir(root, c.visit); err != nil {
		return nil, err
	}
	slices.Sort(c.Packages)
	c.Packages = slices.Compact(c.Packages)
	slices.Sort(c.Violations)
	return &c.report, nil
}

func (c *checker) visit(file string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	name, _ := filepath.Rel(c.root, file)
	name = filepath.ToSlash(name)
	if entry.IsDir() {
		if name != "." && c.skipDir(file, entry.Name()) {
			return fs.SkipDir
		}
		return nil
	}
	if !isText(name) || !entry.Type().IsRegular() {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	c.checkText(name, string(text))
	if strings.HasSuffix(name, ".go") {
		return c.checkGo(name, text)
	}
	return nil
}

func (c *checker) skipDir(dir, name string) bool {
	if strings.HasPrefix(name, ".") && name != ".ci" || name == "testdata" || name == "node_modules" || name == "bin" {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil // a module of its own
}

func (c *checker) violate(file, format string, args ...any) {
	c.Violations = append(c.Violations, file+": "+fmt.Sprintf(format, args...))
}

func (c *checker) checkGo(name string, text []byte) error {
	c.checkLength(name, strings.Count(string(text), "\n"))
	file, err := parser.ParseFile(c.fset, name, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	pkg := path.Dir(name)
	rule := find(c.table, pkg)
	if rule == nil {
		c.violate(name, "package %s has no line in testenv/arch", pkg)
		return nil
	}
	c.Packages = append(c.Packages, pkg)
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c.checkImport(name, pkg, rule, imported)
	}
	if !isTest(name) {
		c.checkCalls(name, rule, file)
	}
	return nil
}

func (c *checker) checkLength(name string, lines int) {
	switch {
	case lines > TooLongFile:
		c.violate(name, "%d lines; split it (aim at %d, %d is the limit)", lines, LongFile, TooLongFile)
	case lines > LongFile:
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s: %d lines", name, lines))
	}
}

// checkCalls finds selectors such as time.Now. A shadowed package name would be found too; none should be.
func (c *checker) checkCalls(name string, rule *Rule, file *ast.File) {
	if len(rule.Calls) == 0 {
		return
	}
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := sel.X.(*ast.Ident); ok && slices.Contains(rule.Calls, pkg.Name+"."+sel.Sel.Name) {
			c.violate(name, "uses %s.%s (%s)", pkg.Name, sel.Sel.Name, rule.Why)
		}
		return true
	})
}

func isTest(name string) bool { return strings.HasSuffix(name, "_test.go") }

// find returns the rule of a package: its own line, else the "..." line above it.
func find(table []Rule, pkg string) *Rule {
	var above *Rule
	for i := range table {
		rule := &table[i]
		if rule.Package == pkg {
			return rule
		}
		if covers(rule.Package, pkg) {
			above = rule
		}
	}
	return above
}

// covers says whether a pattern, exact or with a trailing "...", fits a path.
func covers(pattern, imported string) bool {
	prefix, open := strings.CutSuffix(pattern, "...")
	if !open {
		return pattern == imported
	}
	prefix = strings.TrimSuffix(prefix, "/")
	return imported == prefix || strings.HasPrefix(imported, prefix+"/")
}

func coversAny(patterns []string, imported string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return covers(p, imported) })
}
