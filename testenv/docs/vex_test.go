package docs

import (
	"encoding/json"
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/e2e"
)

// openVEX is the part of an OpenVEX 0.2.0 document that ours has.
type openVEX struct {
	Context    string `json:"@context"`
	ID         string `json:"@id"`
	Author     string
	Timestamp  string
	Version    int
	Statements []struct {
		Vulnerability struct {
			ID          string `json:"@id"`
			Name        string
			Aliases     []string
			Description string
		}
		Products []struct {
			ID            string `json:"@id"`
			Subcomponents []struct {
				ID string `json:"@id"`
			}
		}
		Status, Justification string
		Impact                string `json:"impact_statement"`
	}
}

func TestVEXStatement(t *testing.T) {
	f, err := os.Open(filepath.Join(Root, "deploy", "openvex.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var doc openVEX
	dec := json.NewDecoder(f)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		t.Fatalf("openvex.json: %v", err)
	}
	if doc.Context != "https://openvex.dev/ns/v0.2.0" || doc.ID == "" || doc.Author == "" || doc.Timestamp == "" || doc.Version < 1 {
		t.Errorf("head: %+v", doc)
	}
	if len(doc.Statements) != 1 {
		t.Fatalf("%d statements, want 1", len(doc.Statements))
	}
	s := doc.Statements[0]
	if s.Status != "not_affected" || s.Justification != "vulnerable_code_not_in_execute_path" {
		t.Errorf("status %q, justification %q", s.Status, s.Justification)
	}
	if ids := append(s.Vulnerability.Aliases, s.Vulnerability.Name); !slices.Contains(ids, "CVE-2026-32286") || !slices.Contains(ids, "GO-2026-4518") {
		t.Errorf("vulnerability %v", ids)
	}
	mod, err := os.ReadFile(filepath.Join(Root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`github.com/jackc/pgproto3/v2 (v\S+)`).FindStringSubmatch(string(mod))
	if want := "pkg:golang/github.com/jackc/pgproto3/v2@" + version[1]; s.Products[0].Subcomponents[0].ID != want {
		t.Errorf("subcomponent %s, go.mod has %s", s.Products[0].Subcomponents[0].ID, want)
	}
}

const archived = "github.com/jackc/pgproto3/v2"

// interfaces of the archived module have no code.
var interfaces = []string{"FrontendMessage", "BackendMessage"}

// used are the names that the program takes from the archived module, interfaces aside.
func used(t *testing.T) []string {
	t.Helper()
	files, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if !imports(f, archived) {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "pgproto3" && !slices.Contains(interfaces, sel.Sel.Name) {
					names = append(names, sel.Sel.Name)
				}
			}
			return true
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func imports(f *ast.File, path string) bool {
	return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"`+path+`"` })
}

func TestSecurityNamesWhatIsUsedOfTheArchivedModule(t *testing.T) {
	var named []string
	for _, row := range document(t, "SECURITY.md").Rows {
		if row.Table != "used" {
			continue
		}
		for _, m := range inlineCode.FindAllStringSubmatch(row.Cells[0], -1) {
			if m[1] != "Decode" && m[1] != "Encode" {
				named = append(named, m[1])
			}
		}
	}
	slices.Sort(named)
	if got := used(t); !slices.Equal(got, named) {
		t.Errorf("the sources use %v,\nSECURITY.md names %v", got, named)
	}
}

// CVE-2026-32286 is in DataRow's decoder, which Frontend calls.
func TestProgramLacksTheVulnerableDecoder(t *testing.T) {
	out, err := exec.Command("go", "tool", "nm", e2e.Shared(t).Binary()).Output()
	if err != nil {
		t.Fatal(err)
	}
	symbols := string(out)
	if !strings.Contains(symbols, archived+".(*StartupMessage).Decode") {
		t.Fatal("the program's symbols do not show the archived module at all")
	}
	for _, name := range []string{"(*DataRow).Decode", "(*Frontend).Receive", "(*Backend).Receive", "NewFrontend", "NewBackend"} {
		if strings.Contains(symbols, archived+"."+name) {
			t.Errorf("the program contains %s.%s", archived, name)
		}
	}
}
