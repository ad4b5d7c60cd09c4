package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/audit"
)

func newAuditVerifyCommand() *cobra.Command {
	var key string
	var kept []string
	cmd := &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Prove that nobody changed the record",
		Long: `Verify follows the chain of every stream, recomputes the signed trees, and reports
everything that does not fit, FILE:LINE first. Give it a copy of audit.vkey and
checkpoints that were kept elsewhere: who can write the directory can replace its
own audit.vkey, cut off the end, or with the signing key write it anew.
Status 0: nothing was changed; 1: something was.`,
		Args: cobra.MaximumNArgs(1),
	}
	flags := addConfigFlags(cmd)
	cmd.Flags().StringVar(&key, "key", "", "`FILE` with the public key (default DIR/audit.vkey)")
	cmd.Flags().StringArrayVar(&kept, "checkpoint", nil, "`FILE` with a checkpoint kept elsewhere: a signed note, or lines of the record; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, err := auditDir(cmd, flags, args)
		if err != nil {
			return err
		}
		cfg, err := verifyConfig(dir, key, kept)
		if err != nil {
			return err
		}
		bar := newProgress(cmd.ErrOrStderr(), dir)
		cfg.Progress = bar.add
		reports, err := audit.Verify(cfg)
		bar.clear()
		if err != nil {
			return err
		}
		if len(reports) == 0 {
			return fmt.Errorf("%s: %w", dir, errNoStream)
		}
		return printReports(cmd.OutOrStdout(), reports)
	}
	return cmd
}

// verifyConfig reads the key and the kept checkpoints.
func verifyConfig(dir, key string, kept []string) (audit.VerifyConfig, error) {
	if key == "" {
		key = filepath.Join(dir, "audit.vkey")
	}
	cfg := audit.VerifyConfig{Directory: dir}
	var err error
	if cfg.Keys, err = audit.LoadKeys(key); err != nil {
		return cfg, fmt.Errorf("public key: %w", err)
	}
	for _, path := range kept {
		text, err := os.ReadFile(path)
		if err != nil {
			return cfg, err
		}
		notes, err := audit.ParseKept(string(text))
		if err != nil {
			return cfg, fmt.Errorf("%s: %w", path, err)
		}
		cfg.Kept = append(cfg.Kept, notes...)
	}
	return cfg, nil
}

// printReports writes every finding, and `ok` for a stream without a bad one.
func printReports(w io.Writer, reports []*audit.StreamReport) error {
	bad := false
	for _, r := range reports {
		for _, f := range r.Findings {
			if _, err := fmt.Fprintln(w, f); err != nil {
				return err
			}
		}
		if !r.OK() {
			bad = true
			continue
		}
		if _, err := fmt.Fprintln(w, r); err != nil {
			return err
		}
	}
	if bad {
		return &exitError{code: exitFailure}
	}
	return nil
}
