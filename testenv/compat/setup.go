package compat

import (
	"context"
	"errors"
	"io"
	"os/exec"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// Setup installs the drivers: Debian packages, and npm packages by the lock file. The Go drivers come
// from the module cache when they are built. What is there is left alone; what cannot be had is in
// the error, and the rest is installed all the same.
func Setup(ctx context.Context, out io.Writer, source string) error {
	var err error
	for _, d := range append(Drivers(), Applications()...) {
		err = errors.Join(err, pgserver.AptInstall(ctx, out, d.Packages...))
	}
	err = errors.Join(err, pgserver.AptInstall(ctx, out, "openssl"))
	return errors.Join(err, InstallNode(ctx, source, func(cmd *exec.Cmd) error {
		cmd.Stdout, cmd.Stderr = out, out
		return cmd.Run()
	}))
}
