package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/audit"
)

func newAuditSearchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "search [DIR]",
		Short: "Find records by certificate, role, statement, time …",
		Long: `Search prints the lines that fit every condition, unchanged; on a terminal a table.
A statement belongs to its session: --cn, --email, --serial, --spiffe and --client find
statements too. Where start and end of a statement were recorded apart, both are found.
Search does not verify.`,
		Example: `  pgsignet audit search --text payments --since 7d --event statement
  pgsignet audit search --cn alice --sqlstate 42501 --json`,
		Args: cobra.MaximumNArgs(1),
	}
	flags, form := addConfigFlags(cmd), addFormFlags(cmd)
	query := addQueryFlags(cmd, flags)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, err := auditDir(cmd, flags, args)
		if err == nil {
			err = holdsRecord(dir)
		}
		if err != nil {
			return err
		}
		bar := newProgress(cmd.ErrOrStderr(), dir)
		out := form.printer(cmd.OutOrStdout(), bar)
		err = audit.Search(cmd.Context(), audit.SearchConfig{
			Directory: dir, Query: query.read(), Joined: out.table, Visit: out.print, Progress: bar.add,
		})
		bar.clear()
		if ferr := out.flush(); err == nil {
			err = ferr
		}
		return err
	}
	return cmd
}

func newAuditTailCommand() *cobra.Command {
	var lines int
	var follow bool
	cmd := &cobra.Command{
		Use:   "tail [DIR]",
		Short: "Show the last records, and those to come",
		Args:  cobra.MaximumNArgs(1),
	}
	flags, form := addConfigFlags(cmd), addFormFlags(cmd)
	query := addQueryFlags(cmd, flags)
	cmd.Flags().IntVarP(&lines, "lines", "n", 10, "how many `RECORDS` of those there are")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as records are written, until Ctrl-C")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if lines < 0 {
			return &exitError{code: exitUsage, err: fmt.Errorf("--lines is at least 0, not %d", lines)}
		}
		dir, err := auditDir(cmd, flags, args)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		out := form.printer(cmd.OutOrStdout(), nil)
		err = audit.Tail(ctx, audit.TailConfig{
			Directory: dir, Query: query.read(), Lines: lines, Follow: follow,
			Visit: func(m *audit.Match) error {
				if err := out.print(m); err != nil {
					return err
				}
				return out.flush()
			},
		})
		if err == nil && ctx.Err() != nil {
			return &exitError{code: exitInterrupted}
		}
		return err
	}
	return cmd
}

// formFlags say how records are printed.
type formFlags struct{ json, table bool }

func addFormFlags(cmd *cobra.Command) *formFlags {
	f := &formFlags{}
	cmd.Flags().BoolVar(&f.json, "json", false, "lines as they are in the files, on a terminal too")
	cmd.Flags().BoolVar(&f.table, "table", false, "a table, not on a terminal too")
	cmd.MarkFlagsMutuallyExclusive("json", "table")
	return f
}

// recordPrinter writes matches as lines, or as a table without borders.
type recordPrinter struct {
	w     *bufio.Writer
	bar   *progress // cleared before each write; nil: none
	table bool
	width int // of the terminal; 0: do not cut
	began bool
}

func (f *formFlags) printer(w io.Writer, bar *progress) *recordPrinter {
	width, _ := terminal(w)
	return &recordPrinter{w: bufio.NewWriter(w), bar: bar, table: f.table || width > 0 && !f.json, width: int(width)}
}

func (p *recordPrinter) flush() error { return p.w.Flush() }

func (p *recordPrinter) print(m *audit.Match) error {
	if !p.table {
		for _, l := range m.Lines {
			p.w.Write(l)
			if err := p.w.WriteByte('\n'); err != nil {
				return err
			}
		}
		return nil
	}
	if p.bar != nil {
		p.bar.clear()
	}
	if !p.began {
		p.began = true
		p.line("TIME", "EVENT", "WHO", "ROLE", "DATABASE", "STATE", "DETAIL")
	}
	r := m.Row()
	p.line(strings.Replace(r.Time[:min(len(r.Time), 23)], "T", " ", 1), r.Event, r.Who, r.Role, r.Database, r.SQLState, r.Detail)
	if p.width > 0 {
		return p.w.Flush()
	}
	return nil
}

// widths are those of the columns but the last.
var widths = [...]int{23, 14, 16, 14, 12, 5}

// line writes one row: columns cut or filled to their width, the whole cut to the terminal's.
func (p *recordPrinter) line(cells ...string) {
	var b strings.Builder
	for i, c := range cells {
		c = audit.Printable(c)
		if i < len(widths) {
			c = padText(cutText(c, widths[i]), widths[i])
		}
		if i > 0 {
			b.WriteString("  ")
		}
		b.WriteString(c)
	}
	text := strings.TrimRight(b.String(), " ")
	if p.width > 0 {
		text = cutText(text, p.width)
	}
	p.w.WriteString(text)
	p.w.WriteByte('\n')
}
