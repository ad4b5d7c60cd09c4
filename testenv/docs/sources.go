package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// Sources parses every Go file of the program, tests and testenv aside.
func Sources() (map[string]*ast.File, error) {
	files := map[string]*ast.File{}
	for _, top := range []string{"broker", "cmd", "pgwire", "policy"} {
		err := filepath.WalkDir(filepath.Join(Root, top), func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && entry.Name() == "testdata":
				return filepath.SkipDir
			case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(Root, path)
			files[filepath.ToSlash(rel)] = file
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Literals is every string literal in a file.
func Literals(file *ast.File) []string {
	var all []string
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		if s, err := strconv.Unquote(lit.Value); err == nil {
			all = append(all, s)
		}
		return true
	})
	return all
}
