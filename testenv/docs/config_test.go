package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// pkiFile finds the files that a configuration names: pki/NAME.crt, pki/NAME.key, pki/NAME.crl.
var pkiFile = regexp.MustCompile(`"pki/([a-z-]+)\.(crt|key|crl)"`)

// makeFiles makes what a configuration names: CAs for names that end in -ca, leaves for others, a
// server's for those that a server shows.
func makeFiles(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, "pki"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := pki.New(t)
	env.Dir = filepath.Join(dir, "pki")
	made := map[string]bool{}
	for _, m := range pkiFile.FindAllStringSubmatch(text, -1) {
		name := m[1]
		if made[name] {
			continue
		}
		made[name] = true
		later := time.Now().Add(90 * 24 * time.Hour) // beyond what check warns about
		switch {
		case strings.HasSuffix(name, "-ca"):
			env.WriteCA(env.Root(pki.Shape{CN: name}), name)
		case name == "server" || name == "admin":
			shape := pki.ServerShape()
			shape.NotAfter = later
			env.WriteLeaf(env.Issue(env.Servers, shape), name)
		default:
			env.WriteLeaf(env.Issue(env.Clients, pki.Shape{CN: name, NotAfter: later}), name)
		}
	}
}

// load writes the files into one folder and loads them as one configuration.
func load(t *testing.T, files map[string]string) (*config.Config, *config.Problems) {
	t.Helper()
	dir := t.TempDir()
	all := ""
	for name, text := range files {
		all += text
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	makeFiles(t, dir, all)
	return config.Load([]string{dir})
}

func problemText(t *testing.T, p *config.Problems) string {
	t.Helper()
	var b strings.Builder
	if err := p.WriteText(&b, 0, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCompleteConfigurationsLoad(t *testing.T) {
	count := 0
	for _, d := range documents(t) {
		for _, b := range d.Blocks {
			if b.Lang != "hcl" || len(b.Args) == 0 {
				continue
			}
			count++
			if _, problems := load(t, map[string]string{b.Args[0]: b.Text}); len(problems.List()) > 0 {
				t.Errorf("%s:%d:\n%s", b.Doc, b.Line, problemText(t, problems))
			}
		}
	}
	if count == 0 {
		t.Error("no document shows a complete configuration")
	}
}

func TestFragmentsParse(t *testing.T) {
	for _, d := range documents(t) {
		for _, b := range d.Blocks {
			if b.Lang != "hcl" {
				continue
			}
			if _, diags := hclsyntax.ParseConfig([]byte(b.Text), b.Doc, hcl.Pos{Line: b.Line + 1, Column: 1}); diags.HasErrors() {
				t.Error(diags)
			}
		}
	}
}

// Rules of the README stand beside its configuration.
func TestRulesLoadBesideTheConfiguration(t *testing.T) {
	whole := block(t, "README.md", "hcl", "pgsignet.hcl")
	for _, b := range document(t, "README.md").Blocks {
		if b.Lang != "hcl" || len(b.Args) > 0 {
			continue
		}
		_, problems := load(t, map[string]string{"pgsignet.hcl": whole.Text, "rules.hcl": b.Text})
		if len(problems.List()) > 0 {
			t.Errorf("%s:%d:\n%s", b.Doc, b.Line, problemText(t, problems))
		}
	}
}
