package docs

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// PublicText is a text that the program can send to a client.
type PublicText struct {
	File string
	Code string // the SQLSTATE, or the name that pgwire has for it; "" where it is said elsewhere
	Text string // with … for what a verb of fmt fills in
}

// notSent are packages whose errors never leave the machine.
var notSent = []string{"cmd/", "broker/config/", "broker/pki/", "broker/stamp/", "policy/hclfile/", "pgwire/sqllex/"}

// telling are functions that take a public text; the SQLSTATE is theirs.
var telling = []string{"endedFor", "syntaxError", "violation", "protocolError"}

// tables are files whose sentences are all for clients, hints and formats aside.
var tables = []string{"broker/counts.go", "broker/trust/refusal.go", "broker/upstream/errors.go",
	"policy/denied.go", "policy/identity/error.go"}

// PublicTexts collects them from the sources: what stands beside a SQLSTATE in a call or a literal,
// what is assigned to a field of that purpose, and the tables of texts.
func PublicTexts() ([]PublicText, error) {
	files, err := Sources()
	if err != nil {
		return nil, err
	}
	var all []PublicText
	for name, file := range files {
		if slices.ContainsFunc(notSent, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		if slices.Contains(tables, name) {
			for _, s := range Literals(file) {
				if strings.Count(s, " ") >= 2 && !strings.HasSuffix(s, ".") && !strings.ContainsAny(s, "%(:") {
					all = append(all, PublicText{File: name, Text: s})
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			for _, text := range publicOf(n) {
				text.File = name
				all = append(all, text)
			}
			return true
		})
	}
	return all, nil
}

var (
	sqlstate = regexp.MustCompile(`^(?:[0-9]{2}|[0-9][A-Z]|XX)[0-9A-Z]{3}$`)
	verb     = regexp.MustCompile(`%[a-z]`)
)

// publicOf is what one call, literal or method Public has for clients.
func publicOf(n ast.Node) []PublicText {
	var parts []ast.Expr
	tells := false
	switch n := n.(type) {
	case *ast.FuncDecl:
		if tells = n.Name.Name == "Public"; tells && n.Body != nil {
			for _, stmt := range n.Body.List {
				if r, ok := stmt.(*ast.ReturnStmt); ok {
					parts = append(parts, r.Results...)
				}
			}
		}
	case *ast.CompositeLit:
		parts = n.Elts
	case *ast.CallExpr:
		parts = n.Args
		name, _ := n.Fun.(*ast.Ident)
		tells = name != nil && slices.Contains(telling, name.Name)
	}
	code := ""
	var texts []string
	for _, part := range parts {
		key := ""
		if pair, ok := part.(*ast.KeyValueExpr); ok {
			part = pair.Value
			if ident, ok := pair.Key.(*ast.Ident); ok {
				key = ident.Name
			}
		}
		if c := codeOf(part); c != "" {
			code = c
			continue
		}
		switch key {
		case "", "public", "Message":
			texts = append(texts, sentences(part)...)
			tells = tells || key != ""
		}
	}
	var all []PublicText
	for _, text := range texts {
		if tells || code != "" {
			all = append(all, PublicText{Code: code, Text: verb.ReplaceAllString(text, "…")})
		}
	}
	return all
}

// codeOf is the SQLSTATE that an expression is: a literal, or one of pgwire's names.
func codeOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s := text(e); sqlstate.MatchString(s) {
			return s
		}
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok && x.Name == "pgwire" && !slices.Contains([]string{"Fatal", "Err", "Notice"}, e.Sel.Name) && !strings.HasPrefix(e.Sel.Name, "Err") {
			return e.Sel.Name
		}
	}
	return ""
}

// sentences are the string literals of an expression that have more than one word; those of an error
// that is wrapped are not for clients, nor are hints, which end in a full stop.
func sentences(e ast.Expr) []string {
	var all []string
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "Errorf" || f.Sel.Name == "New" || f.Sel.Name == "Format") {
				return false
			}
		case *ast.BasicLit:
			if s := strings.TrimSpace(text(n)); n.Kind == token.STRING && strings.Contains(s, " ") && !strings.HasSuffix(s, ".") {
				all = append(all, s)
			}
		case *ast.FuncLit, *ast.CompositeLit:
			return false
		}
		return true
	})
	return all
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
