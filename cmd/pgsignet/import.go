package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/policy/hclfile"
)

// maxImport is the largest file that import reads, in bytes.
const maxImport = 64 << 20

func newImportCommand() *cobra.Command {
	var hba, output string
	cmd := &cobra.Command{
		Use:   "import pg_ident.conf [--hba pg_hba.conf]",
		Short: "Turn pg_ident.conf into maps",
		Long: `Import writes maps with the same verdicts as PostgreSQL's user name maps. With --hba it
follows the lines of pg_hba.conf that log in by certificate, in their order, with their
databases and addresses; without it every map is for every database. Files that @ and
include name are read too.

A line that cannot be carried over exactly grants nothing: it becomes a comment with the
reason, and a line on standard error. Status 0: written; 1: PostgreSQL would refuse the
files, so nothing was.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&hba, "hba", "", "`FILE`, the pg_hba.conf that names the maps")
	cmd.Flags().StringVarP(&output, "output", "o", "", "`FILE` to write, which must not exist (default: standard output)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		imported, err := hclfile.Import(hclfile.ImportConfig{Ident: args[0], HBA: hba, Read: readImport, List: listImport})
		if err != nil {
			return err
		}
		if err := writeNew(output, imported.HCL, cmd.OutOrStdout()); err != nil {
			return err
		}
		return writeNotes(cmd.ErrOrStderr(), imported.Notes)
	}
	return cmd
}

func readImport(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxImport+1))
	if err == nil && len(data) > maxImport {
		err = fmt.Errorf("%s is too large for a file of maps", path)
	}
	return data, err
}

func listImport(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// writeNew writes data to a file that it makes, or to stdout when it has no name.
func writeNew(name string, data []byte, stdout io.Writer) error {
	if name == "" {
		_, err := stdout.Write(data)
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// writeNotes lists what differs or was left out, and sums it up.
func writeNotes(w io.Writer, notes []hclfile.ImportNote) error {
	out := &printer{w: w}
	left := 0
	for _, n := range notes {
		if n.LeftOut {
			left++
		}
		out.printf("%s\n", n)
	}
	if len(notes) > 0 {
		out.printf("%s; %s left out.\n", count(len(notes), "note"), count(left, "line"))
	}
	return out.err
}
