package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

func newTestCommand() *cobra.Command {
	format := "text"
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Run the test blocks of the configuration",
		Long: `Test decides the login of every test block with the configuration's own rules and
compares it with what the block expects. A cert_file is verified first, as the listener
would, without the network. Status 0: all as expected; 1: not.`,
		Args: noArgs,
	}
	flags := addConfigFlags(cmd)
	cmd.Flags().StringVar(&format, "format", format, "`FORMAT` of the results: text, tap or json")
	completeFlag(cmd, "format", sortedKeys(testFormats)...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		write, ok := testFormats[format]
		if !ok {
			return &exitError{code: exitUsage, err: fmt.Errorf("--format is text, tap or json, not %q", format)}
		}
		cfg, err := loadForUse(flags, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		results := runTests(cfg.Policy(), cfg.Tests, newVerifier(cfg), time.Now())
		if err := write(cmd.OutOrStdout(), results); err != nil {
			return err
		}
		if slices.ContainsFunc(results, func(r policy.TestResult) bool { return r.Err != nil }) {
			return &exitError{code: exitFailure}
		}
		return nil
	}
	return cmd
}

// runTests runs each test at its own time, which is also when its certificate is looked at.
func runTests(p *policy.Policy, tests []policy.Test, v *verifier, now time.Time) []policy.TestResult {
	var results []policy.TestResult
	for i := range tests {
		at := tests[i].At
		if at.IsZero() {
			at = now
		}
		load := func(file, listener string) (*identity.Identity, error) {
			d, err := v.verify(file, listener, at)
			switch {
			case err != nil:
				return nil, err
			case d.Refusal != nil:
				return nil, d.Refusal
			}
			return d.Identity, nil
		}
		results = append(results, policy.RunTests(p, tests[i:i+1], now, load)...)
	}
	return results
}

// testPlace is where a test is written, short enough for a line.
func testPlace(t *policy.Test) string {
	return fmt.Sprintf("%s:%d", filepath.Base(t.File), t.Line)
}
