package docs

import (
	"go/ast"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/policy"
)

// settings are the attributes and blocks that the loader knows, with the file that says so: the struct
// tags of broker/config, the lists that rules.go and testblock.go give to attributes(), and match's fields.
func settings(t *testing.T) map[string]string {
	t.Helper()
	files, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range policy.Fields() {
		all[f.String()] = "policy"
	}
	for name, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				if n.Tag != nil && strings.HasPrefix(name, "broker/config/") {
					attr, kind, _ := strings.Cut(reflect.StructTag(strings.Trim(n.Tag.Value, "`")).Get("hcl"), ",")
					if attr != "" && !strings.HasPrefix(kind, "label") && kind != "def_range" && kind != "remain" {
						all[attr] = name
					}
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "attributes" && strings.HasPrefix(name, "policy/hclfile/") {
					ast.Inspect(n, func(n ast.Node) bool {
						if e, ok := n.(ast.Expr); ok && text(e) != "" {
							all[text(e)] = name
						}
						return true
					})
				}
			}
			return true
		})
	}
	if len(all) < 120 {
		t.Fatalf("%d settings, too few to be true", len(all))
	}
	return all
}

// Every setting is explained in docs/configuration.md, in the first cell of a table or in an example, and
// its tables of attributes have no other.
func TestConfigurationPageHasEverySetting(t *testing.T) {
	doc := document(t, "docs/configuration.md")
	named := map[string]bool{}
	word := regexp.MustCompile(`[a-z][a-z0-9_]*`)
	for _, row := range doc.Rows {
		for _, m := range inlineCode.FindAllStringSubmatch(row.Cells[0], -1) {
			for _, w := range word.FindAllString(m[1], -1) {
				named[w] = true
			}
		}
	}
	for _, b := range doc.Blocks {
		if b.Lang == "hcl" {
			for _, m := range regexp.MustCompile(`(?m)(?:^|[{])\s*([a-z][a-z0-9_]*)\s*[={"]`).FindAllStringSubmatch(b.Text, -1) {
				named[m[1]] = true
			}
		}
	}
	known := settings(t)
	for name, file := range known {
		if !named[name] {
			t.Errorf("docs/configuration.md does not explain %s of %s", name, file)
		}
	}
	for _, row := range doc.Rows {
		if row.Table != "attribute" || row.Cells[0] == row.Table {
			continue
		}
		for _, m := range inlineCode.FindAllStringSubmatch(row.Cells[0], -1) {
			if name := word.FindString(m[1]); name != "" && known[name] == "" {
				t.Errorf("docs/configuration.md:%d: there is no setting %s", row.Line, name)
			}
		}
	}
}
