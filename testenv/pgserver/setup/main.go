// Command setup installs the PostgreSQL servers that `make test` starts. It does nothing on a
// machine that has them; it runs no server itself.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := pgserver.Setup(ctx, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "testenv: %v\n", err)
		stop()
		os.Exit(1)
	}
}
