package main

import (
	"io"

	"github.com/pgsignet/pgsignet/broker/config"
)

// loadForUse reads the configuration for a command that needs a valid one. Errors are printed to
// stderr and end in status 1; warnings are `check`'s to print.
func loadForUse(flags *configFlags, stderr io.Writer) (*config.Config, error) {
	cfg, problems := flags.source().Load()
	if !problems.HasErrors() {
		return cfg, nil
	}
	width, color := terminal(stderr)
	if err := problems.WriteText(stderr, width, color); err != nil {
		return nil, err
	}
	return nil, &exitError{code: exitFailure}
}
