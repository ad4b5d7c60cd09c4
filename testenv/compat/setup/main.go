// Command setup installs the drivers of testenv/compat. It does nothing on a machine that has them.
// Run it at the root of the repository.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/pgsignet/pgsignet/testenv/compat"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := compat.Setup(ctx, os.Stdout, filepath.Join("testenv", "compat")); err != nil {
		fmt.Fprintf(os.Stderr, "compat: %v\n", err)
		stop()
		os.Exit(1)
	}
}
