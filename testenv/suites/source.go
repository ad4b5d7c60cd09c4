package suites

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// aptDir is where a machine says from where it takes its packages.
const aptDir = "/etc/apt"

// downloadSource fetches a Debian source package of exactly that version and unpacks it, patched as
// Debian does, into dir/src. The places to fetch from are those the machine's binary packages come from.
func downloadSource(ctx context.Context, out io.Writer, dir, name, version string) (string, error) {
	if err := writeSources(aptDir, dir); err != nil {
		return "", err
	}
	return fetchSource(ctx, out, dir, name+"="+version)
}

// fetchSource fetches and unpacks a source package, NAME or NAME=VERSION, by the sources below dir.
func fetchSource(ctx context.Context, out io.Writer, dir, what string) (string, error) {
	for _, args := range [][]string{{"update"}, {"source", "--download-only", what}} {
		if err := run(aptGet(ctx, dir, args...), out); err != nil {
			return "", fmt.Errorf("source package %s: %w", what, err)
		}
	}
	dsc, err := filepath.Glob(filepath.Join(dir, "*.dsc"))
	if err != nil || len(dsc) != 1 {
		return "", fmt.Errorf("source package %s: got %q", what, dsc)
	}
	src := filepath.Join(dir, "src")
	cmd := exec.CommandContext(ctx, "dpkg-source", "--no-check", "-x", dsc[0], src) // apt has checked it
	cmd.Dir = dir
	return src, run(cmd, out)
}

// aptGet is apt-get with lists and cache of its own below dir, so that it needs no root and changes
// nothing on the machine.
func aptGet(ctx context.Context, dir string, args ...string) *exec.Cmd {
	options := []string{
		"-q", "-o", "Dir::Etc::sourcelist=" + filepath.Join(dir, "sources.list"),
		"-o", "Dir::Etc::sourceparts=" + filepath.Join(dir, "sources.list.d"),
		"-o", "Dir::State::lists=" + filepath.Join(dir, "lists"),
		"-o", "Dir::Cache=" + filepath.Join(dir, "cache"),
	}
	if os.Geteuid() == 0 {
		options = append(options, "-o", "APT::Sandbox::User=root") // dir is not _apt's
	}
	cmd := exec.CommandContext(ctx, "apt-get", append(options, args...)...)
	cmd.Dir = dir
	return cmd
}

// writeSources turns the machine's apt sources into the same ones for source packages.
func writeSources(from, to string) error {
	for _, name := range []string{"lists/partial", "cache/archives/partial", "sources.list.d"} {
		if err := os.MkdirAll(filepath.Join(to, name), 0o755); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(from, "sources.list.d", "*"))
	if err != nil {
		return err
	}
	for _, file := range append(files, filepath.Join(from, "sources.list")) {
		convert := sourcesOf(file)
		text, err := os.ReadFile(file)
		if convert == nil || os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, relative), []byte(convert(string(text))), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// sourcesOf picks the conversion for a file by its name, as apt picks its format; nil for other files.
func sourcesOf(file string) func(string) string {
	switch filepath.Ext(file) {
	case ".list":
		return sourceLines
	case ".sources":
		return sourceStanzas
	}
	return nil
}

var (
	binaryLine  = regexp.MustCompile(`(?m)^deb(\s)`)
	typesField  = regexp.MustCompile(`(?m)^(Types:).*\bdeb\b.*$`)
	sourceAlone = regexp.MustCompile(`(?m)^deb-src\s.*\n?`)
)

// sourceLines converts the one-line format: `deb [options] URI suite component…`.
func sourceLines(text string) string {
	return binaryLine.ReplaceAllString(sourceAlone.ReplaceAllString(text, ""), "deb-src$1")
}

// sourceStanzas converts the deb822 format.
func sourceStanzas(text string) string {
	return typesField.ReplaceAllString(text, "$1 deb-src")
}

// run keeps what a make above us has put into the environment from a make below: PostgreSQL's builds
// its generated headers at MAKELEVEL 0 alone.
func run(cmd *exec.Cmd, out io.Writer) error {
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS=") })
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return nil
}
