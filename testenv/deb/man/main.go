// Command man writes the manual pages into a folder: pgsignet.1 from what the program's own --help
// says, and pgsignet.hcl.5 from docs/configuration.md, so that neither can drift.
//
//	go run ./testenv/deb/man PROGRAM VERSION FOLDER
//
// It runs in the project's folder and knows only the Markdown that docs uses.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: man PROGRAM VERSION FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func write(program, version, folder string) error {
	first, err := commandPage(program, version)
	if err != nil {
		return err
	}
	second, err := configPage(version)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"pgsignet.1": first, "pgsignet.hcl.5": second} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// commandPage is pgsignet(1): every command, then what docs/operations.md says of its surroundings.
func commandPage(program, version string) (string, error) {
	var p page
	p.title("PGSIGNET", 1, version)
	root, err := readHelp(program, nil)
	if err != nil {
		return "", err
	}
	p.section("NAME")
	p.text("pgsignet \u2014 access broker for PostgreSQL: the client certificate decides the role")
	p.section("SYNOPSIS")
	p.text("`pgsignet` COMMAND [flags]")
	p.section("DESCRIPTION")
	p.text(root.about)
	p.section("COMMANDS")
	if err := p.commands(program, nil, root); err != nil {
		return "", err
	}
	operations, err := os.ReadFile("docs/operations.md")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"Signals", "Exit status", "Files", "Environment"} {
		if err := p.markdownSection(string(operations), name); err != nil {
			return "", fmt.Errorf("docs/operations.md: %w", err)
		}
	}
	p.section("SEE ALSO")
	p.text("`pgsignet.hcl`(5), `psql`(1)")
	return p.String(), nil
}

// configPage is pgsignet.hcl(5).
func configPage(version string) (string, error) {
	text, err := os.ReadFile("docs/configuration.md")
	if err != nil {
		return "", err
	}
	var p page
	p.title("PGSIGNET.HCL", 5, version)
	p.section("NAME")
	p.text("pgsignet.hcl \u2014 configuration of pgsignet")
	p.section("DESCRIPTION")
	p.markdown(string(text))
	p.section("SEE ALSO")
	p.text("`pgsignet`(1)")
	return p.String(), nil
}
