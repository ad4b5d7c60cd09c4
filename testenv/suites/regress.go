package suites

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
)

// Result is a suite's run.
type Result struct {
	Passed, Failed, Skipped []string // names of tests, sorted
	Files                   string   // folder with one result file per test; "" for suites without
	Output                  string   // how failed tests differ from what they expect, or all that was printed
}

// pgSuite is a suite that pg_regress or its sibling for isolation runs.
type pgSuite struct{ dir, program, database, schedule string }

var (
	regress   = pgSuite{"regress", "pg_regress", "regression", "parallel_schedule"}
	isolation = pgSuite{"isolation", "pg_isolation_regress", "isolation_regression", "isolation_schedule"}
)

// Regress runs the regression suite with its parallel schedule, at most 20 connections at once.
func (k *Kit) Regress(ctx context.Context, t *Target) (*Result, error) {
	if err := t.CreateDatabase(ctx, regress.database); err != nil {
		return nil, err
	}
	return k.pgRegress(ctx, t, regress, regress.dir, "--schedule="+filepath.Join(k.dir, regress.dir, regress.schedule))
}

// isolationTries bounds how often a spec is run that does not do what it should. Some print notices of
// a session that waits in an order which depends on the machine's load, with and without a broker.
const isolationTries = 4

// Isolation runs the isolation suite, and then alone those specs whose result file is neither what
// they expect nor like the one of the reference (nil for none).
func (k *Kit) Isolation(ctx context.Context, t *Target, reference *Result) (*Result, error) {
	if err := t.CreateDatabase(ctx, isolation.database); err != nil {
		return nil, err
	}
	result, err := k.pgRegress(ctx, t, isolation, isolation.dir, "--schedule="+filepath.Join(k.dir, isolation.dir, isolation.schedule))
	for try := 2; err == nil && try <= isolationTries && len(result.unlike(reference)) > 0; try++ {
		var again *Result
		again, err = k.pgRegress(ctx, t, isolation, fmt.Sprintf("%s-try%d", isolation.dir, try), result.unlike(reference)...)
		if err == nil {
			err = result.replace(again)
		}
	}
	return result, err
}

// unlike lists the failed tests whose result file is not the reference's either.
func (r *Result) unlike(reference *Result) []string {
	if reference == nil {
		return r.Failed
	}
	return slices.DeleteFunc(slices.Clone(r.Failed), func(name string) bool {
		return sameFile(filepath.Join(r.Files, name+".out"), filepath.Join(reference.Files, name+".out"))
	})
}

// replace takes over what another run of some of the tests has shown.
func (r *Result) replace(again *Result) error {
	for _, name := range slices.Concat(again.Passed, again.Failed) {
		text, err := os.ReadFile(filepath.Join(again.Files, name+".out"))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(r.Files, name+".out"), text, 0o600); err != nil {
			return err
		}
	}
	for _, name := range again.Passed {
		r.Failed = slices.DeleteFunc(r.Failed, func(failed string) bool { return failed == name })
		r.Passed = append(r.Passed, name)
	}
	slices.Sort(r.Passed)
	r.Output = again.Output
	return nil
}

// pgRegress runs a schedule or some tests in the suite's database, which exists: programs that create
// their own would need the superuser's socket.
func (k *Kit) pgRegress(ctx context.Context, t *Target, suite pgSuite, folder string, what ...string) (*Result, error) {
	out, err := t.Server.MakeDir(folder)
	if err != nil {
		return nil, err
	}
	src := filepath.Join(k.dir, suite.dir)
	cmd := t.command(ctx, filepath.Join(src, suite.program), append([]string{
		"--inputdir=" + src, "--outputdir=" + out, "--dlpath=" + src, "--bindir=" + k.Bin, "--max-concurrent-tests=20",
		"--use-existing", "--dbname=" + suite.database, "--host=" + t.Host, "--port=" + t.Port, "--user=" + t.User,
	}, what...)...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err = cmd.Run()
	result := parseRegress(text.String())
	result.Files = filepath.Join(out, "results")
	if diffs, err := os.ReadFile(filepath.Join(out, "regression.diffs")); err == nil {
		result.Output = string(diffs) // says more than the list of tests
	}
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		return nil, err
	}
	if len(result.Passed)+len(result.Failed) == 0 {
		return nil, fmt.Errorf("%s ran no test: %v\n%s", suite.program, err, result.Output)
	}
	return result, nil
}

// regressLine is a line of pg_regress before version 16, alone or in a parallel group:
//
//	test boolean                      ... ok          123 ms
//	     char                         ... FAILED       45 ms
//
// "failed (ignored)" and the exit codes of a psql that died are failures, too.
var regressLine = regexp.MustCompile(`(?m)^(?:test| {4}) +(\S+) +\.\.\. (.*?) +\d+ ms$`)

func parseRegress(text string) *Result {
	result := &Result{Output: text}
	for _, m := range regressLine.FindAllStringSubmatch(text, -1) {
		if m[2] == "ok" {
			result.Passed = append(result.Passed, m[1])
		} else {
			result.Failed = append(result.Failed, m[1])
		}
	}
	slices.Sort(result.Passed)
	slices.Sort(result.Failed)
	return result
}
