package suites

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
)

// Result is a suite's run.
type Result struct {
	Passed, Failed, Skipped []string // names of tests, sorted
	Files                   string   // folder with one result file per test; "" for suites without
	Output                  string   // what the suite printed
}

// Regress runs the regression suite with its parallel schedule, at most 20 connections at once.
func (k *Kit) Regress(ctx context.Context, t *Target) (*Result, error) {
	return k.pgRegress(ctx, t, "regress", "pg_regress", "regression", "parallel_schedule")
}

// Isolation runs the isolation suite.
func (k *Kit) Isolation(ctx context.Context, t *Target) (*Result, error) {
	return k.pgRegress(ctx, t, "isolation", "pg_isolation_regress", "isolation_regression", "isolation_schedule")
}

// pgRegress runs a suite in a database that it creates, since a schedule with --use-existing does not.
func (k *Kit) pgRegress(ctx context.Context, t *Target, suite, program, database, schedule string) (*Result, error) {
	if err := t.CreateDatabase(ctx, database); err != nil {
		return nil, err
	}
	out, err := t.Server.MakeDir(suite + "-" + t.Name)
	if err != nil {
		return nil, err
	}
	src := filepath.Join(k.dir, suite)
	cmd := t.command(ctx, filepath.Join(src, program),
		"--inputdir="+src, "--outputdir="+out, "--dlpath="+src, "--bindir="+k.Bin,
		"--schedule="+filepath.Join(src, schedule), "--max-concurrent-tests=20",
		"--use-existing", "--dbname="+database,
		"--host="+t.Host, "--port="+t.Port, "--user="+t.User)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err = cmd.Run()
	result := parseRegress(text.String())
	result.Files = filepath.Join(out, "results")
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		return nil, err
	}
	if len(result.Passed)+len(result.Failed) == 0 {
		return nil, fmt.Errorf("%s ran no test: %v\n%s", program, err, result.Output)
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
