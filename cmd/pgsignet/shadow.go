package main

import (
	"github.com/pgsignet/pgsignet/broker/config"
)

// withShadow loads a second configuration beside the first, whose Shadow it becomes. Errors in either
// count.
func withShadow(load func() (*config.Config, *config.Problems), paths []string) func() (*config.Config, *config.Problems) {
	if len(paths) == 0 {
		return load
	}
	return func() (*config.Config, *config.Problems) {
		cfg, problems := load()
		shadow, more := config.Source{Paths: paths}.Load()
		problems.Join(more)
		if problems.HasErrors() {
			return nil, problems
		}
		cfg.Shadow = shadow
		return cfg, problems
	}
}
