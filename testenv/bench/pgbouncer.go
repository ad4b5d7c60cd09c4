package main

import (
	"context"
	"os"

	"github.com/pgsignet/pgsignet/testenv/suites"
)

// findPgBouncer returns the PgBouncer that PGBOUNCER names, or builds one, once.
func findPgBouncer(ctx context.Context) (string, error) {
	if path := os.Getenv("PGBOUNCER"); path != "" {
		return path, nil
	}
	return suites.PgBouncer(ctx, os.Stderr)
}
