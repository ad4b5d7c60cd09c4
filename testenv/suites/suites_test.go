//go:build suites

package suites

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/golden"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

// superuser is the role that runs the suites.
const superuser = pgserver.Superuser

// world is a PostgreSQL of its own for one run, so that no run sees what another left.
type world struct {
	*pki.Env
	server *pgserver.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	env := pki.New(t)
	leaf := env.Server()
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	server := pgserver.Start(t, pgserver.Options{
		Version: 15,
		TLS: pgserver.TLS{Cert: string(leaf.PEM()), Key: string(key),
			CA: string(env.Clients.CertPEM()) + string(env.Broker.CertPEM())},
		Ident: []string{"pgsignet " + superuser + " " + superuser, "pgsignet broker " + superuser},
	})
	return &world{Env: env, server: server}
}

// direct is the server itself.
func (w *world) direct(t *testing.T, name string) *Target {
	t.Helper()
	target := &Target{Name: name, Host: "localhost", User: superuser, Server: w.server}
	_, target.Port, _ = strings.Cut(w.server.Addr(), ":")
	w.client(t, target)
	return target
}

// client gives the target a certificate, in files of the server's user.
func (w *world) client(t *testing.T, target *Target) {
	t.Helper()
	leaf := w.Client(superuser)
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]struct {
		to  *string
		pem []byte
	}{
		"root.crt": {&target.RootCert, w.Servers.CertPEM()}, "client.crt": {&target.Cert, leaf.PEM()}, "client.key": {&target.Key, key},
	} {
		path, err := w.server.WriteFile(target.Name+"-"+name, file.pem)
		if err != nil {
			t.Fatal(err)
		}
		*file.to = path
	}
}

func prepare(t *testing.T) *Kit {
	t.Helper()
	kit, err := Prepare(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return kit
}

// timed runs one suite against one target and logs how long that took.
func timed(t *testing.T, target *Target, suite func(context.Context, *Target) (*Result, error)) *Result {
	t.Helper()
	start := time.Now()
	result, err := suite(t.Context(), target)
	if err != nil {
		t.Fatalf("%s: %v", target.Name, err)
	}
	t.Logf("%s: %d passed, %d failed, %d skipped in %s", target.Name,
		len(result.Passed), len(result.Failed), len(result.Skipped), time.Since(start).Round(time.Second))
	return result
}

func TestRegress(t *testing.T) {
	kit := prepare(t)
	direct := timed(t, newWorld(t).direct(t, "direct"), kit.Regress)
	expectLists(t, "regress", "direct", direct)
	again := timed(t, newWorld(t).direct(t, "again"), kit.Regress)
	expectSameFiles(t, direct, again)
}

func TestIsolation(t *testing.T) {
	kit := prepare(t)
	direct := timed(t, newWorld(t).direct(t, "direct"), kit.Isolation)
	expectLists(t, "isolation", "direct", direct)
}

func TestPipeline(t *testing.T) {
	kit := prepare(t)
	expectLists(t, "libpq_pipeline", "direct", timed(t, newWorld(t).direct(t, "direct"), kit.Pipeline))
}

func TestPGX(t *testing.T) {
	suite, err := PreparePGX(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expectLists(t, "pgx", "direct", timed(t, newWorld(t).direct(t, "direct"), func(ctx context.Context, target *Target) (*Result, error) {
		return suite.Run(ctx, target, false)
	}))
}

// expectLists compares what failed and what was skipped with the reviewed lists: drift either way fails.
func expectLists(t *testing.T, suite, target string, result *Result) {
	t.Helper()
	var b strings.Builder
	for _, name := range result.Failed {
		b.WriteString("failed " + name + "\n")
	}
	for _, name := range result.Skipped {
		b.WriteString("skipped " + name + "\n")
	}
	golden.String(t, filepath.Join("testdata", suite+"."+target), b.String())
	if t.Failed() {
		t.Logf("%s", result.Output)
	}
}

func expectSameFiles(t *testing.T, first, second *Result) {
	t.Helper()
	total, differ, err := CompareFiles(first.Files, second.Files)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d result files are equal", total-len(differ), total)
	for _, d := range differ {
		t.Errorf("%s differs:\n%s", d.Test, d.Diff)
	}
}
