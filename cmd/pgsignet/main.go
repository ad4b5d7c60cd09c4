// Command pgsignet is an access broker for PostgreSQL: a client certificate decides the role, and
// every connection is recorded. Each file holds one subcommand.
//
// It holds no rules and no protocol of its own: those are in the packages it joins.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Exit statuses, beside 0. A service manager must not restart after exitConfig (sysexits.h EX_CONFIG).
const (
	exitFailure     = 1
	exitUsage       = 2
	exitRefused     = 3
	exitConfig      = 78
	exitInterrupted = 130
)

// exitError ends the process with a status of its own. Without err it says nothing more, because the
// command has already printed what is wrong.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// usageHint ends what is said of wrong usage, whoever finds it.
const usageHint = "Run \"%s --help\" for usage.\n"

// run is the whole program: it executes one command line and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.InitDefaultCompletionCmd(args...)
	ran := markRun(root)
	called, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[*exitError](err); ok {
		if exit.err != nil {
			fmt.Fprintf(stderr, "pgsignet: %v\n", exit.err)
		}
		if exit.code == exitUsage {
			fmt.Fprintf(stderr, usageHint, called.CommandPath())
		}
		return exit.code
	}
	fmt.Fprintf(stderr, "pgsignet: %v\n", err)
	switch {
	case !*ran:
		fmt.Fprintf(stderr, usageHint, called.CommandPath())
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailure
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "pgsignet",
		Short: "PostgreSQL access broker: the client certificate decides the role",
		Long: strings.TrimSpace(`
pgsignet stands between PostgreSQL clients and servers. A client logs in with its
certificate alone; rules in HCL map the certificate to a role; the session runs on
a pooled mTLS connection as that role; and an append-only record says who did what.`),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(commands()...)
	root.Version = readBuildInfo().String() // --version, for whoever tries that first
	root.SetVersionTemplate("{{.Version}}\n")
	return root
}

// commands lists every subcommand but cobra's own help and completion.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newAuditCommand(),
		newCACommand(),
		newCheckCommand(),
		newConsoleCommand(),
		newDemoCommand(),
		newExplainCommand(),
		newFmtCommand(),
		newHealthcheckCommand(),
		newImportCommand(),
		newKillCommand(),
		newLockCommand(),
		newPoolsCommand(),
		newReloadCommand(),
		newReplayCommand(),
		newServeCommand(),
		newSessionsCommand(),
		newSQLCommand(),
		newTestCommand(),
		newTopCommand(),
		newUnlockCommand(),
		newVersionCommand(),
	}
}

// markRun wraps every command so that *ran tells whether one was reached: an error before that is
// one of usage. A command that only has others below it takes none but those, and shows its help.
func markRun(root *cobra.Command) (ran *bool) {
	ran = new(bool)
	var wrap func(*cobra.Command)
	wrap = func(c *cobra.Command) {
		if c != root && !c.Runnable() && c.HasSubCommands() {
			c.Args, c.RunE = noArgs, func(c *cobra.Command, _ []string) error { return c.Help() }
		}
		if inner := c.RunE; inner != nil {
			c.RunE = func(c *cobra.Command, args []string) error {
				*ran = true
				return inner(c, args)
			}
		}
		for _, child := range c.Commands() {
			wrap(child)
		}
	}
	wrap(root)
	return ran
}

// noArgs is for commands without arguments. Those that read a configuration are often given its file.
func noArgs(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case c.HasSubCommands():
		return fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
	case c.Flags().Lookup("config") != nil:
		return fmt.Errorf("%q takes no argument %q: name a configuration file with --config", c.CommandPath(), args[0])
	}
	return fmt.Errorf("%q takes no argument %q", c.CommandPath(), args[0])
}
