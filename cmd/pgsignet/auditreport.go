package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/audit"
)

func newAuditReportCommand() *cobra.Command {
	var by, format, output string
	cmd := &cobra.Command{
		Use:   "report [DIR]",
		Short: "Sum sessions, refusals, statements and rows per certificate, role …",
		Long: `Report sums what the record holds: sessions, refusals, statements, errors, rows, time,
first and last seen. With --by reason its sessions are those that ended for the reason,
and the time is theirs. Report does not verify.`,
		Example: `  pgsignet audit report --by cert --since 30d
  pgsignet audit report --by database --format html --output access.html`,
		Args: cobra.MaximumNArgs(1),
	}
	flags := addConfigFlags(cmd)
	query := addQueryFlags(cmd, flags)
	cmd.Flags().StringVar(&by, "by", "cert", "one line per `WHAT`: cert, role, map, database or reason")
	cmd.Flags().StringVar(&format, "format", "text", "`FORMAT`: text, csv, json, or html (one file with charts)")
	completeFlag(cmd, "by", string(audit.ByCert), string(audit.ByRole), string(audit.ByMap), string(audit.ByDatabase), string(audit.ByReason))
	completeFlag(cmd, "format", string(audit.FormatText), string(audit.FormatCSV), string(audit.FormatJSON), string(audit.FormatHTML))
	cmd.Flags().StringVarP(&output, "output", "o", "", "`FILE` to write; default: standard output")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind, err := audit.ParseBy(by)
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		form, err := audit.ParseFormat(format)
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		dir, err := auditDir(cmd, flags, args)
		if err == nil {
			err = holdsRecord(dir)
		}
		if err != nil {
			return err
		}
		bar := newProgress(cmd.ErrOrStderr(), dir)
		sums, err := audit.Report(cmd.Context(), audit.ReportConfig{Directory: dir, Query: query.read(), By: kind, Progress: bar.add})
		bar.clear()
		if err != nil {
			return err
		}
		return writeTo(output, cmd.OutOrStdout(), func(w io.Writer) error { return sums.Write(w, form) })
	}
	return cmd
}

// writeTo lets write fill the file at path, or standard output when that is empty.
func writeTo(path string, stdout io.Writer, write func(io.Writer) error) error {
	if path == "" {
		return write(stdout)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func newAuditPruneCommand() *cobra.Command {
	var before whenFlag
	var key string
	var dry, uncopied bool
	cmd := &cobra.Command{
		Use:   "prune [DIR]",
		Short: "Delete old segments, and leave a signed record of it",
		Long: `Prune verifies the record and refuses when it was changed. Then it writes which lines
it is about to delete into a signed record, and deletes whole files whose lines are all
older than --before. Verify accepts what is missing then. It may run beside serve.
What a sink has not copied yet stays, and nothing is deleted, without --even-uncopied.`,
		Args: cobra.MaximumNArgs(1),
	}
	flags := addConfigFlags(cmd)
	cmd.Flags().Var(&before, "before", "delete files older than this: 2026-10-01, or how long ago: 90d")
	cmd.Flags().StringVar(&key, "checkpoint-key", "", "`FILE` with the signing key (default: the configuration's, or DIR/audit.key)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would go")
	cmd.Flags().BoolVar(&uncopied, "even-uncopied", false, "delete what a sink has not copied yet, too")
	if err := cmd.MarkFlagRequired("before"); err != nil {
		panic(err)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if before.time.After(time.Now()) {
			return usageError("--before %s lies in the future", before.text)
		}
		dir, err := auditDir(cmd, flags, args)
		if err != nil {
			return err
		}
		if len(args) == 0 && key == "" {
			cfg, err := loadForUse(flags, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			key = cfg.Audit.CheckpointKey
		}
		gone, err := audit.Prune(cmd.Context(), audit.PruneConfig{
			Directory: dir, Before: before.time, CheckpointKey: key, DryRun: dry, EvenUncopied: uncopied,
		})
		if errors.Is(err, audit.ErrUncopied) {
			return fmt.Errorf("%w; or give --even-uncopied", err)
		}
		if err != nil {
			return err
		}
		return printPruned(cmd.OutOrStdout(), gone, dry)
	}
	return cmd
}

func printPruned(w io.Writer, gone []audit.Pruned, dry bool) error {
	verb := "pruned"
	if dry {
		verb = "would prune"
	}
	if len(gone) == 0 {
		_, err := fmt.Fprintln(w, "Nothing is that old.")
		return err
	}
	for _, g := range gone {
		if _, err := fmt.Fprintf(w, "%s: %s to %d, %s, %s\n", g.Stream, verb, g.Seq, g.Time.Format(time.DateOnly), count(len(g.Files), "file")); err != nil {
			return err
		}
	}
	return nil
}
