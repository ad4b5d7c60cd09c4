package docs

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The README quotes every text as the program has it.
func TestREADMEQuotesRefusalsAsSent(t *testing.T) {
	all := literals(t)
	sqlstate := regexp.MustCompile(`^[0-9A-Z]{5}$`)
	rows := 0
	for _, row := range document(t, "README.md").Rows {
		if row.Table != "SQLSTATE" || row.Cells[0] == "SQLSTATE" || strings.HasPrefix(row.Cells[0], "---") {
			continue
		}
		rows++
		if code := row.Cells[0]; sqlstate.MatchString(code) && !slices.Contains(all, code) {
			t.Errorf("README.md:%d: no SQLSTATE %s in the sources", row.Line, code)
		}
		for _, cell := range row.Cells[1:3] {
			for _, m := range inlineCode.FindAllStringSubmatch(cell, -1) {
				if !quoted(all, m[1]) {
					t.Errorf("README.md:%d: the program says nothing like %q", row.Line, m[1])
				}
			}
		}
	}
	if rows < 40 {
		t.Errorf("%d rows are too few to be true", rows)
	}
}

// quoted says whether a literal has the text, if the text is a word: is the text.
func quoted(all []string, text string) bool {
	return slices.ContainsFunc(all, func(s string) bool {
		filled := strings.NewReplacer("%d", "63").Replace(s)
		return s == text || (strings.Contains(text, " ") || strings.Contains(text, "-")) && strings.Contains(filled, text)
	})
}

// Every reason for which a certificate is refused has its row, with the text that goes with it.
func TestREADMEHasEveryCertificateReason(t *testing.T) {
	texts := trustTexts(t)
	if len(texts) < 20 {
		t.Fatalf("found %d reasons in broker/trust, too few to be true", len(texts))
	}
	rows := map[string]string{} // text cells by reason
	for _, row := range document(t, "README.md").Rows {
		if row.Table == "SQLSTATE" && len(row.Cells) > 2 {
			for _, m := range inlineCode.FindAllStringSubmatch(row.Cells[2], -1) {
				rows[m[1]] += row.Cells[1]
			}
		}
	}
	for reason, text := range texts {
		if reason != "internal" && !strings.Contains(rows[reason], "`"+text+"`") {
			t.Errorf("reason %s: README.md has %q, the client reads %q", reason, rows[reason], text)
		}
	}
}

// Every text that these files have for clients is in the README: sentences, that is, without a full
// stop, which hints have, and without a verb of fmt, which the log's have.
func TestREADMEHasEveryText(t *testing.T) {
	files, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	readme := ""
	for _, row := range document(t, "README.md").Rows {
		readme += strings.Join(row.Cells, " ")
	}
	for _, name := range []string{"broker/refusal.go", "broker/settings.go", "broker/pool/errors.go", "broker/upstream/errors.go", "policy/denied.go"} {
		if files[name] == nil {
			t.Errorf("no file %s; where are its texts now?", name)
			continue
		}
		for _, s := range Literals(files[name]) {
			if strings.Count(s, " ") >= 2 && !strings.HasSuffix(s, ".") && !strings.ContainsAny(s, "%(") && !strings.Contains(readme, s) {
				t.Errorf("README.md lacks %q of %s", s, name)
			}
		}
	}
}

// trustTexts are the public texts of broker/trust by reason: the constants of type Reason and the
// table `texts`, read from the sources since neither is exported.
func trustTexts(t *testing.T) map[string]string {
	t.Helper()
	files, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	reasons, texts := map[string]string{}, map[string]string{}
	for _, pass := range []func(*ast.ValueSpec){
		func(v *ast.ValueSpec) {
			if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "Reason" {
				reasons[v.Names[0].Name] = text(v.Values[0])
			}
		},
		func(v *ast.ValueSpec) {
			if v.Names[0].Name != "texts" {
				return
			}
			for _, elt := range v.Values[0].(*ast.CompositeLit).Elts {
				pair := elt.(*ast.KeyValueExpr)
				texts[reasons[pair.Key.(*ast.Ident).Name]] = text(pair.Value.(*ast.CompositeLit).Elts[0])
			}
		},
	} {
		for name, f := range files {
			if path.Dir(name) == "broker/trust" {
				eachValue(f, pass)
			}
		}
	}
	return texts
}

func eachValue(f *ast.File, visit func(*ast.ValueSpec)) {
	for _, decl := range f.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST && gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			visit(spec.(*ast.ValueSpec))
		}
	}
}

// text is a string literal's value, "" for anything else.
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value) // "" for a number
	return s
}
