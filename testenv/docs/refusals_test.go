package docs

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// page explains every error by its text.
const page = "docs/troubleshooting.md"

// The page quotes every text as the program has it.
func TestTroubleshootingQuotesRefusalsAsSent(t *testing.T) {
	all := literals(t)
	rows := 0
	for _, row := range document(t, page).Rows {
		if row.Table != "SQLSTATE" || row.Cells[0] == "SQLSTATE" || strings.HasPrefix(row.Cells[0], "---") {
			continue
		}
		rows++
		if code := row.Cells[0]; sqlstate.MatchString(code) && !slices.Contains(all, code) {
			t.Errorf("docs/troubleshooting.md:%d: no SQLSTATE %s in the sources", row.Line, code)
		}
		for _, cell := range row.Cells[1 : len(row.Cells)-1] {
			for _, m := range inlineCode.FindAllStringSubmatch(cell, -1) {
				if !quoted(all, m[1]) {
					t.Errorf("docs/troubleshooting.md:%d: the program says nothing like %q", row.Line, m[1])
				}
			}
		}
	}
	if rows < 40 {
		t.Errorf("%d rows are too few to be true", rows)
	}
}

// quoted says whether a literal has the text, if the text is a word: is the text. … stands for what a
// verb of fmt fills in.
func quoted(all []string, text string) bool {
	text = strings.Trim(text, "…' ")
	return slices.ContainsFunc(all, func(s string) bool {
		if s == text {
			return true
		}
		filled := verb.ReplaceAllString(strings.NewReplacer("%d", "63").Replace(s), "…")
		return strings.ContainsAny(text, " -") && (strings.Contains(filled, text) || strings.Contains(verb.ReplaceAllString(s, "…"), text))
	})
}

// Every reason for which a certificate is refused has its row, with the text that goes with it.
func TestTroubleshootingHasEveryCertificateReason(t *testing.T) {
	texts := trustTexts(t)
	if len(texts) < 20 {
		t.Fatalf("found %d reasons in broker/trust, too few to be true", len(texts))
	}
	rows := map[string]string{} // text cells by reason
	for _, row := range document(t, page).Rows {
		if row.Table == "SQLSTATE" && len(row.Cells) > 2 {
			for _, m := range inlineCode.FindAllStringSubmatch(row.Cells[2], -1) {
				rows[m[1]] += row.Cells[1]
			}
		}
	}
	for reason, text := range texts {
		if reason != "internal" && !strings.Contains(rows[reason], "`"+text+"`") {
			t.Errorf("reason %s: docs/troubleshooting.md has %q, the client reads %q", reason, rows[reason], text)
		}
	}
}

// Every text and every SQLSTATE that the program can send is on the page, the SQLSTATE in a table.
func TestTroubleshootingHasEveryText(t *testing.T) {
	all, err := PublicTexts()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 120 {
		t.Fatalf("found %d texts, too few to be true", len(all))
	}
	codes := sqlstates(t)
	quotes, rows := "", ""
	for _, row := range document(t, page).Rows {
		rows += strings.Join(row.Cells, " ") + "\n"
	}
	for _, code := range document(t, page).Code {
		quotes += code.Text + "\n"
	}
	for _, p := range all {
		words := strings.Trim(p.Text, ` '":`)
		if strings.Contains(words, " ") && !strings.Contains(quotes, words) {
			t.Errorf("%s lacks %q (%s of %s)", page, words, p.Code, p.File)
		}
		code := p.Code
		if named, ok := codes[code]; ok {
			code = named
		}
		if sqlstate.MatchString(code) && code != "00000" && !strings.Contains(rows, code) {
			t.Errorf("%s lacks SQLSTATE %s: %q of %s", page, code, p.Text, p.File)
		}
	}
}

// sqlstates are pgwire's, by the names of its constants.
func sqlstates(t *testing.T) map[string]string {
	t.Helper()
	files, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	eachValue(files["pgwire/sqlstate.go"], func(v *ast.ValueSpec) { codes[v.Names[0].Name] = text(v.Values[0]) })
	if codes["AdminShutdown"] != "57P01" {
		t.Fatalf("pgwire/sqlstate.go: %v", codes)
	}
	return codes
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
