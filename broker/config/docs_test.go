package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/testenv/reference"
)

// fence is an example in a document.
var fence = regexp.MustCompile("(?s)```hcl\n(.*?)```")

// base is what the document's examples stand beside, by block; an example's own block takes its place.
var base = map[string]string{
	`listener "main"`: `listener "main" {
  address   = "127.0.0.1:6432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt"]
}`,
	`upstream "orders"`: `upstream "orders" {
  hosts   = ["127.0.0.1:5432"]
  ca_file = "pki/postgres-ca.crt"
  credential "certificate" {
    cert_file = "pki/broker.crt"
    key_file  = "pki/broker.key"
  }
}`,
	`database "orders"`: `database "orders" { upstream = "orders" }`,
	`audit`:             `audit { directory = "audit" }`,
}

// TestDocumentation loads every example of docs/configuration.md, runs its tests, and wants them in the
// form of `pgsignet fmt`.
func TestDocumentation(t *testing.T) {
	doc := string(mustRead(t, "../../docs/configuration.md"))
	examples := fence.FindAllStringSubmatchIndex(doc, -1)
	if len(examples) < 10 {
		t.Fatalf("only %d examples", len(examples))
	}
	for _, at := range examples {
		example := doc[at[2]:at[3]]
		t.Run(fmt.Sprintf("line %d", strings.Count(doc[:at[2]], "\n")+1), func(t *testing.T) {
			if formatted := string(hclwrite.Format([]byte(example))); formatted != example {
				t.Errorf("not as fmt writes it; want\n%s", formatted)
			}
			dir := t.TempDir()
			if _, err := reference.Make(dir, testNow); err != nil {
				t.Fatal(err)
			}
			paths := []string{filepath.Join(dir, "example.hcl"), filepath.Join(dir, "rest.hcl")}
			for i, src := range []string{example, around(t, example)} {
				if err := os.WriteFile(paths[i], []byte(src), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg, problems := Source{Paths: paths, Now: testNow}.Load()
			if problems.HasErrors() {
				t.Fatal(text(t, problems))
			}
			for _, r := range policy.RunTests(cfg.Policy(), cfg.Tests, testNow, nil) {
				if r.Err != nil {
					t.Errorf("test %q: %v", r.Test.Name, r.Err)
				}
			}
		})
	}
}

// around is the base without the blocks that an example has itself.
func around(t *testing.T, example string) string {
	t.Helper()
	f, diags := hclsyntax.ParseConfig([]byte(example), "example.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	own := map[string]bool{}
	for _, b := range f.Body.(*hclsyntax.Body).Blocks {
		name := b.Type
		for _, l := range b.Labels {
			name += fmt.Sprintf(" %q", l)
		}
		own[name] = true
	}
	var out strings.Builder
	for name, src := range base {
		if !own[name] {
			out.WriteString(src + "\n")
		}
	}
	return out.String()
}

// TestEveryAttributeIsShown holds that the reference configuration and the documentation name each
// attribute and block there is.
func TestEveryAttributeIsShown(t *testing.T) {
	var names []string
	for _, block := range []any{root{}, listenerBlock{}, spiffeBlock{}, trustDomainBlock{}, upstreamBlock{}, certificateBlock{},
		issuerBlock{}, passwordBlock{}, poolBlock{}, databaseBlock{}, auditBlock{}, postgresSinkBlock{}, syslogSinkBlock{},
		adminBlock{}, logBlock{}, shutdownBlock{}} {
		names = append(names, tagNames(reflect.TypeOf(block))...)
	}
	for _, file := range []string{"../../deploy/pgsignet.hcl", "../../docs/configuration.md"} {
		src := string(mustRead(t, file))
		for _, name := range names {
			if !regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).MatchString(src) {
				t.Errorf("%s does not name %s", file, name)
			}
		}
	}
}

// tagNames lists the attributes and blocks of a gohcl struct.
func tagNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		name, kind, _ := strings.Cut(t.Field(i).Tag.Get("hcl"), ",")
		if name != "" && !strings.HasPrefix(kind, "label") {
			names = append(names, name)
		}
	}
	return names
}
