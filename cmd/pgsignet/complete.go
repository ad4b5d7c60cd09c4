package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/config"
)

// This file holds what the shell is offered behind a command or a flag. It never prints an error:
// where nothing can be read, nothing is offered.

// completeFlag lets the shell complete a flag with these values.
func completeFlag(c *cobra.Command, flag string, values ...string) {
	// The only errors are an unknown flag and a second registration: slips in this program's own code.
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}

// completeNames lets the shell complete a flag with names out of the configuration that the command reads.
func completeNames(c *cobra.Command, flags *configFlags, flag string, names func(*config.Config) []string) {
	err := c.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		cfg, problems := flags.source().Load()
		if problems.HasErrors() {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(cfg), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil { // as in completeFlag
		panic(err)
	}
}

func listenerNames(cfg *config.Config) (names []string) {
	for _, l := range cfg.Listeners {
		names = append(names, l.Name)
	}
	return names
}

// databasesNamed leaves out "*", which is no name.
func databasesNamed(cfg *config.Config) (names []string) {
	for _, d := range cfg.Databases {
		if d.Name != "*" {
			names = append(names, d.Name)
		}
	}
	return names
}

// ruleNames are those of maps and denies.
func ruleNames(cfg *config.Config) (names []string) {
	for _, r := range cfg.Rules {
		names = append(names, r.Name)
	}
	return names
}

// completeSessions offers the ids of live sessions to the shell.
func completeSessions(flags *consoleFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || flags.resolve(io.Discard) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		c, err := dialConsole(ctx, *flags)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer c.close()
		t, err := c.query(ctx, "SHOW SESSIONS")
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var words []string
		for _, row := range t.only([]string{"sid", "role", "database"}).Rows {
			words = append(words, row[0].Text+"\t"+row[1].Text+"@"+row[2].Text)
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}
