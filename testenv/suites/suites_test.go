//go:build suites

package suites

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/golden"
)

// The three ways to run a suite. Each runs against a PostgreSQL of its own.
const (
	direct      = "direct"
	session     = "session"
	transaction = "transaction"
)

// suite runs one suite against a target.
type suite func(context.Context, *Target) (*Result, error)

// Versions of the servers. PostgreSQL's own suites are those of its release; pgx has tests for what
// PostgreSQL 18 brought.
const (
	kitServer = 15
	pgxServer = 18
)

// TestRegress: through the broker in session mode each result file must equal the direct run's; in
// transaction mode the list says which may differ.
func TestRegress(t *testing.T) {
	t.Parallel()
	run := prepare(t).Regress
	reference := runAgainst(t, kitServer, direct, run)
	expectList(t, "regress."+direct, reference.List(), reference.Output)
	for _, mode := range []string{session, transaction} {
		t.Run(mode, func(t *testing.T) {
			list, diffs := differing(t, reference, runAgainst(t, kitServer, mode, run))
			expectList(t, "regress."+mode, list, diffs)
		})
	}
}

// TestIsolation has no transaction mode: a spec asks for each session's backend once and then looks
// whether that backend waits for a lock, which is what transaction mode cannot keep.
func TestIsolation(t *testing.T) {
	t.Parallel()
	kit := prepare(t)
	against := func(reference *Result) suite {
		return func(ctx context.Context, target *Target) (*Result, error) {
			return kit.Isolation(ctx, target, reference)
		}
	}
	reference := runAgainst(t, kitServer, direct, against(nil))
	expectList(t, "isolation."+direct, reference.List(), reference.Output)
	t.Run(session, func(t *testing.T) {
		list, diffs := differing(t, reference, runAgainst(t, kitServer, session, against(reference)))
		expectList(t, "isolation."+session, list, diffs)
	})
}

func TestPipeline(t *testing.T) {
	t.Parallel()
	compareLists(t, "libpq_pipeline", kitServer, prepare(t).Pipeline)
}

func TestPGX(t *testing.T) {
	t.Parallel()
	pgx, err := PreparePGX(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	compareLists(t, "pgx", pgxServer, pgx.Run)
}

// prepareOnce builds the kit for the first test that wants it; the others wait.
var prepareOnce = sync.OnceValues(func() (*Kit, error) { return Prepare(context.Background(), os.Stderr) })

func prepare(t *testing.T) *Kit {
	t.Helper()
	kit, err := prepareOnce()
	if err != nil {
		t.Fatal(err)
	}
	return kit
}

// compareLists runs a suite that only says what passed. The lists of the two modes hold what ends
// differently from the direct run.
func compareLists(t *testing.T, name string, version int, run suite) {
	reference := runAgainst(t, version, direct, run)
	expectList(t, name+"."+direct, reference.List(), reference.Output)
	reviewed, err := ReadList(filepath.Join("testdata", name+"."+direct))
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{session, transaction} {
		t.Run(mode, func(t *testing.T) {
			result := runAgainst(t, version, mode, run)
			expectList(t, name+"."+mode, result.List().Beside(reference.List(), reviewed), result.Output)
		})
	}
}

func runAgainst(t *testing.T, version int, mode string, run suite) *Result {
	t.Helper()
	target := newWorld(t, version).target(t, mode)
	start := time.Now()
	result, err := run(t.Context(), target)
	if err != nil {
		t.Fatalf("%s: %v", mode, err)
	}
	t.Logf("%s: %d passed, %d failed, %d skipped in %s", mode,
		len(result.Passed), len(result.Failed), len(result.Skipped), time.Since(start).Round(time.Second))
	return result
}

// differing lists the result files that are not those of the reference, and shows how they differ.
func differing(t *testing.T, reference, result *Result) (list List, diffs string) {
	t.Helper()
	total, differ, err := CompareFiles(reference.Files, result.Files)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d result files equal the direct run's", total-len(differ), total)
	list = List{}
	for _, d := range differ {
		list["differs "+d.Test] = ""
		diffs += "== " + d.Test + "\n" + d.Diff
	}
	return list, diffs
}

// expectList compares with the reviewed list in testdata; drift either way fails and shows the output. -update
// keeps the reasons that are there and leaves a gap, which fails, for new lines.
func expectList(t *testing.T, file string, got List, output string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	want, err := ReadList(path)
	if err != nil {
		t.Fatal(err)
	}
	if golden.Updating() {
		want = want.Update(got)
		if err := os.WriteFile(path, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range want.Drift(got) {
		t.Errorf("%s: %s", path, line)
	}
	if t.Failed() {
		t.Log(output)
	}
}
