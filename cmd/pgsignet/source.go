package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/config"
)

// defaultConfig is read when neither --config nor PGSIGNET_CONFIG names another.
const defaultConfig = "/etc/pgsignet/pgsignet.hcl"

// configFlags says which configuration a command reads: flag, then environment, then default.
type configFlags struct {
	paths []string
}

func addConfigFlags(c *cobra.Command) *configFlags {
	f := &configFlags{}
	c.Flags().StringArrayVarP(&f.paths, "config", "c", nil,
		"`PATH` of a file, or a directory of *.hcl; may be repeated (PGSIGNET_CONFIG; default "+defaultConfig+")")
	return f
}

// source is what config loads. PGSIGNET_CONFIG may hold several paths, separated as in PATH.
func (f *configFlags) source() config.Source {
	paths := f.paths
	if len(paths) == 0 {
		paths = filepath.SplitList(os.Getenv("PGSIGNET_CONFIG"))
	}
	if len(paths) == 0 {
		paths = []string{defaultConfig}
	}
	return config.Source{
		Paths:        paths,
		LogLevel:     fromEnvironment("PGSIGNET_LOG_LEVEL"),
		AdminAddress: fromEnvironment("PGSIGNET_ADMIN_ADDR"),
	}
}

func fromEnvironment(name string) config.Override {
	return config.Override{Value: os.Getenv(name), From: name}
}
