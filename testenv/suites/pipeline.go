package suites

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// Pipeline runs every test of libpq_pipeline, one process each.
func (k *Kit) Pipeline(ctx context.Context, t *Target) (*Result, error) {
	const database = "pipeline"
	if err := t.CreateDatabase(ctx, database); err != nil {
		return nil, err
	}
	program := filepath.Join(k.dir, "libpq_pipeline", "libpq_pipeline")
	names, err := t.command(ctx, program, "tests").Output()
	if err != nil {
		return nil, fmt.Errorf("libpq_pipeline tests: %w", err)
	}
	result := &Result{}
	for _, name := range strings.Fields(string(names)) { // sorted as the program prints them
		out, err := t.command(ctx, program, name, t.Conninfo(database)).CombinedOutput()
		if err == nil {
			result.Passed = append(result.Passed, name)
			continue
		}
		result.Failed = append(result.Failed, name)
		result.Output += fmt.Sprintf("== %s: %v\n%s", name, err, out)
	}
	return result, ctx.Err()
}
