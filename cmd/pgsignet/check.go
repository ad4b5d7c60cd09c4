package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/config"
)

func newCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and the files it names",
		Long: `Check reads the configuration and every file it names, and reports all errors and
warnings at once, each with its place and what to write instead. It creates no file
and opens no connection. Status 0: no errors; 1: errors.`,
		Args: noArgs,
	}
	flags := addConfigFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, problems := flags.source().Load()
		if !problems.HasErrors() {
			checkTrust(cfg, problems)
		}
		if err := printCheck(cmd.OutOrStdout(), problems, asJSON); err != nil {
			return err
		}
		if problems.HasErrors() {
			return &exitError{code: exitFailure}
		}
		return nil
	}
	return cmd
}

// checkTrust loads what each listener trusts as serve does, which may see more in a file than
// package config. Without cert_file the certificate comes from the Workload API, which is not asked.
func checkTrust(cfg *config.Config, problems *config.Problems) {
	v := newVerifier(cfg)
	for _, l := range cfg.Listeners {
		if l.CertFile == "" {
			continue
		}
		if _, err := v.snapshot(l.Name); err != nil {
			problems.AddError("Unusable certificates", fmt.Sprintf("%v.", err))
		}
	}
}

// printCheck writes the problems, then one line that sums them up.
func printCheck(w io.Writer, problems *config.Problems, asJSON bool) error {
	if asJSON {
		return problems.WriteJSON(w)
	}
	width, color := terminal(w)
	if err := problems.WriteText(w, width, color); err != nil {
		return err
	}
	errors, warnings := problems.Counts()
	verdict := "not valid"
	if errors == 0 {
		verdict = "valid"
	}
	_, err := fmt.Fprintf(w, "The configuration is %s: %s, %s.\n", verdict, count(errors, "error"), count(warnings, "warning"))
	return err
}

// count is "1 error", "2 errors".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
