package arch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/golden"
)

// root is the repository, seen from this package's folder, where go test runs.
const root = "../.."

func TestRepositoryKeepsTheRules(t *testing.T) {
	report, err := Check(root, Table)
	if err != nil {
		t.Fatal(err)
	}
	for _, violation := range report.Violations {
		t.Error(violation)
	}
	for _, warning := range report.Warnings {
		t.Logf("long file (aim at %d lines): %s", LongFile, warning)
	}
	if len(report.Packages) == 0 {
		t.Error("no package was found; is the root still right?")
	}
}

func TestDocumentShowsTheTable(t *testing.T) {
	golden.Section(t, filepath.Join(root, "docs", "architecture.md"), "import table", Markdown(Table))
}

// tree writes a small repository.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func goFile(pkg string, imports ...string) string {
	var b strings.Builder
	b.WriteString("package " + pkg + "\n")
	for _, path := range imports {
		b.WriteString("import _ \"" + path + "\"\n")
	}
	return b.String()
}

func TestCheckFindsViolations(t *testing.T) {
	home := "/" + "root/checkout/x.hcl" // in two parts, or this file would violate the rule itself
	for _, tt := range []struct {
		name, file, text string
		want             string // part of the only violation; "" for none
	}{
		{"standard library", "broker/pool/a.go", goFile("pool", "context", "sync"), ""},
		{"own arrow in the table", "broker/relay/a.go", goFile("relay", Module+"/broker/pool"), ""},
		{"own arrow not in the table", "broker/pool/a.go", goFile("pool", Module+"/broker/relay"), "not in the line of broker/pool"},
		{"arrow named as never", "broker/pool/a.go", goFile("pool", Module+"/pgwire"), "broker/pool must not"},
		{"standard library named as never", "policy/a.go", goFile("policy", "net"), "policy must not"},
		{"netip is not net", "policy/a.go", goFile("policy", "net/netip"), ""},
		{"third party not in the table", "broker/relay/a.go", goFile("relay", "go.uber.org/zap"), "not in the line of broker/relay"},
		{"below an open path", "policy/hclfile/a.go", goFile("hclfile", "github.com/hashicorp/hcl/v2/hclsyntax"), ""},
		{"beside an open path", "policy/hclfile/a.go", goFile("hclfile", "github.com/hashicorp/hcl/v2x"), "not in the line"},
		{"hcl in broker", "broker/a.go", goFile("broker", "github.com/hashicorp/hcl/v2"), "broker must not"},
		{"archived codec in pgwire", "pgwire/a.go", goFile("pgwire", "github.com/jackc/pgproto3/v2"), ""},
		{"archived codec elsewhere", "broker/upstream/a.go", goFile("upstream", "github.com/jackc/pgproto3/v2"), "only pgwire may"},
		{"archived codec in another's test", "broker/relay/a_test.go", goFile("relay", "github.com/jackc/pgproto3/v2"), "only pgwire may"},
		{"archived codec in cmd", "cmd/pgsignet/a.go", goFile("main", "github.com/jackc/pgproto3/v2"), "only pgwire may"},
		{"archived codec in testenv", "testenv/e2e/a.go", goFile("e2e", "github.com/jackc/pgproto3/v2"), "only pgwire may"},
		{"testenv in a program", "cmd/pgsignet/serve.go", goFile("main", Module+"/testenv/pki"), "testenv is for tests"},
		{"testenv in the demo", "cmd/pgsignet/demo_pki.go", goFile("main", Module+"/testenv/pki"), ""},
		{"testenv in a leaf", "broker/trust/a.go", goFile("trust", Module+"/testenv/pki"), "testenv is for tests"},
		{"testenv in a test", "broker/trust/a_test.go", goFile("trust", Module+"/testenv/pki"), ""},
		{"testenv in testenv", "testenv/e2e/a.go", goFile("e2e", Module+"/testenv/pki"), ""},
		{"test module in a test", "broker/pool/a_test.go", goFile("pool", "pgregory.net/rapid"), ""},
		{"test module in a program", "broker/pool/a.go", goFile("pool", "pgregory.net/rapid"), "not in the line of broker/pool"},
		{"arrow in an external test", "broker/pool/a_test.go", goFile("pool_test", Module+"/broker/pool"), ""},
		{"strange arrow in a test", "broker/pool/a_test.go", goFile("pool_test", Module+"/broker/audit"), "not in the line of broker/pool"},
		{"arrow of the tests alone, in a test", "broker/pki/a_test.go", goFile("pki", Module+"/policy/identity"), ""},
		{"arrow of the tests alone, elsewhere", "broker/pki/a.go", goFile("pki", Module+"/policy/identity"), "not in the line of broker/pki"},
		{"standard logger", "broker/relay/a.go", goFile("relay", "log/slog"), "only broker and cmd log"},
		{"new package", "broker/util/a.go", goFile("util"), "no line in testenv/arch"},
		{"new top folder", "internal/a.go", goFile("internal"), "no line in testenv/arch"},
		{"clock in policy", "policy/a.go", "package policy\nimport \"time\"\nvar t = time.Now()\n", "uses time.Now"},
		{"clock in a test of policy", "policy/a_test.go", "package policy\nimport \"time\"\nvar t = time.Now()\n", ""},
		{"duration in policy", "policy/a.go", "package policy\nimport \"time\"\nvar t = time.Second\n", ""},
		{"long file", "broker/pool/a.go", "package pool\n" + strings.Repeat("//\n", TooLongFile), "601 lines"},
		{"just not too long", "broker/pool/a.go", "package pool\n" + strings.Repeat("//\n", TooLongFile-1), ""},
		{"path of one machine in a document", "docs/a.md", "see " + home + "\n", "line 1 names " + filepath.Dir(home)},
		{"path of one machine in code", "broker/pool/a.go", "package pool\nconst x = \"" + home + "\"\n", "line 2 names"},
		{"example home", "docs/a.md", "sslkey=/home/alice/.postgresql/key\n", ""},
		{"relative path that looks alike", "docs/a.md", "see shared/work/x and https://example.org/home/page\n", ""},
		{"testdata", "broker/pool/testdata/a.go", goFile("x", "go.uber.org/zap"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			report, err := Check(tree(t, map[string]string{"go.mod": "module " + Module + "\n", tt.file: tt.text}), Table)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(report.Violations, "\n")
			if tt.want == "" && got != "" {
				t.Errorf("%s: got violation %q, want none", tt.file, got)
			}
			if len(report.Violations) > 1 || !strings.Contains(got, tt.want) {
				t.Errorf("%s: got %q, want one that says %q", tt.file, got, tt.want)
			}
		})
	}
}

func TestCheckSkipsNestedModules(t *testing.T) {
	report, err := Check(tree(t, map[string]string{
		"tools/go.mod": "module tools\n",
		"tools/a.go":   goFile("tools", "go.uber.org/zap"),
	}), Table)
	if err != nil || len(report.Violations) != 0 {
		t.Errorf("got %v, %v, want nothing", report, err)
	}
}

func TestCheckReportsWhatItCannotParse(t *testing.T) {
	if _, err := Check(tree(t, map[string]string{"broker/pool/a.go": "package\n"}), Table); err == nil {
		t.Error("a file that does not parse went unnoticed")
	}
}

func TestTableHasNoTwins(t *testing.T) {
	seen := map[string]bool{}
	for _, rule := range Table {
		if seen[rule.Package] {
			t.Errorf("two lines for %s", rule.Package)
		}
		seen[rule.Package] = true
		for _, never := range rule.Never {
			if coversAny(rule.May, never) {
				t.Errorf("%s: %s may and must not be imported", rule.Package, never)
			}
		}
	}
}
