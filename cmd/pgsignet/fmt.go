package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/broker/durable"
)

func newFmtCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE|DIR]...",
		Short: "Rewrite configuration files in the usual form",
		Long: `Fmt indents and aligns HCL files in place, and prints the names of those it changed.
A directory means its *.hcl files; without arguments it is the current directory, and
"-" reads standard input and writes to standard output. A file that does not parse is
reported and left as it is.

With --check it changes nothing, and the status is 1 if any file would change.`,
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; status 1 if a file is not in that form")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f := formatter{check: check, in: cmd.InOrStdin(), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()}
		if len(args) == 0 {
			args = []string{"."}
		}
		for _, arg := range args {
			if err := f.argument(arg); err != nil {
				return err
			}
		}
		if f.broken || check && f.changed {
			return &exitError{code: exitFailure}
		}
		return nil
	}
	return cmd
}

// formatter rewrites files one after the other.
type formatter struct {
	check    bool
	in       io.Reader
	out, err io.Writer

	changed bool // a file was, or would be, rewritten
	broken  bool // a file does not parse
}

func (f *formatter) argument(arg string) error {
	if arg == "-" {
		return f.stdin()
	}
	info, err := os.Stat(arg)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return f.file(arg)
	}
	files, err := hclFiles(arg)
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := f.file(name); err != nil {
			return err
		}
	}
	return nil
}

// hclFiles lists the *.hcl files of a directory, in name order.
func hclFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".hcl") && !strings.HasPrefix(name, ".") && !e.IsDir() {
			names = append(names, filepath.Join(dir, name))
		}
	}
	return names, nil
}

func (f *formatter) stdin() error {
	src, err := io.ReadAll(f.in)
	if err != nil {
		return err
	}
	formatted, ok := f.format("<stdin>", src)
	if !ok || f.check {
		return nil
	}
	_, err = f.out.Write(formatted)
	return err
}

func (f *formatter) file(name string) error {
	src, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	formatted, ok := f.format(name, src)
	if !ok || bytes.Equal(src, formatted) {
		return nil
	}
	fmt.Fprintln(f.out, name)
	if f.check {
		return nil
	}
	return replaceFile(name, formatted)
}

// format returns src in the usual form; ok is false when it does not parse, which it prints.
func (f *formatter) format(name string, src []byte) (formatted []byte, ok bool) {
	file, diags := config.Parse(src, name)
	if diags.HasErrors() {
		f.broken = true
		width, color := terminal(f.err)
		files := map[string]*hcl.File{}
		if file != nil {
			files[name] = file
		}
		_ = hcl.NewDiagnosticTextWriter(f.err, files, width, color).WriteDiagnostics(diags) // nothing else to tell it to
		return nil, false
	}
	formatted = hclwrite.Format(src)
	f.changed = f.changed || !bytes.Equal(src, formatted)
	return formatted, true
}

// replaceFile puts data in the place of the file that name leads to, in one step, and keeps its owner and
// mode. A reader sees the old file or the new one, never a part.
func replaceFile(name string, data []byte) error {
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	return durable.Rewrite(target, data)
}
