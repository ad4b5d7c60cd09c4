// Command man writes the manual pages into a folder: pgsignet.1 from what the program's own --help
// says, pgsignet.hcl.5 from docs/configuration.md and pgsignet.8 from docs/operations.md, so that
// none of them can drift.
//
//	go run ./testenv/deb/man PROGRAM VERSION FOLDER
//
// It runs in the project's folder and knows only the Markdown that docs uses.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	operations, err := document("operations.md")
	if err != nil {
		return err
	}
	configuration, err := document("configuration.md")
	if err != nil {
		return err
	}
	first, err := commandPage(program, version, operations)
	if err != nil {
		return err
	}
	eighth, err := operationsPage(version, operations)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"pgsignet.1": first, "pgsignet.hcl.5": configPage(version, configuration), "pgsignet.8": eighth} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// document reads a page of docs. Files of the sources that it names are those that the package has installed.
func document(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join("docs", name))
	const examples = "/usr/share/doc/pgsignet/examples/"
	return strings.NewReplacer(
		"deploy/pgsignet.hcl", examples+"reference.hcl",
		"deploy/prometheus/alerts.yml", examples+"prometheus-alerts.yml",
		"deploy/grafana/pgsignet.json", examples+"grafana-dashboard.json",
		"deploy/systemd", "/usr/lib/systemd/system",
	).Replace(string(text)), err
}

// commandPage is pgsignet(1): every command, then what docs/operations.md says of its surroundings.
func commandPage(program, version, operations string) (string, error) {
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
	if err := p.sections(operations, "Signals", "Exit status", "Files", "Environment"); err != nil {
		return "", err
	}
	p.section("SEE ALSO")
	p.text("`pgsignet.hcl`(5), `pgsignet`(8), `psql`(1)")
	return p.String(), nil
}

// operationsPage is pgsignet(8): how to run the broker.
func operationsPage(version, operations string) (string, error) {
	var p page
	p.title("PGSIGNET", 8, version)
	p.section("NAME")
	p.text("pgsignet \u2014 running the broker: health, metrics, limits, upgrade")
	p.section("SYNOPSIS")
	p.text("`pgsignet serve` [--config PATH]...")
	if err := p.sections(operations, "Health and metrics", "Limits", "Sizing", "Upgrade", "A second process", "systemd", "Signals"); err != nil {
		return "", err
	}
	p.section("SEE ALSO")
	p.text("`pgsignet`(1), `pgsignet.hcl`(5), `systemctl`(1); /usr/share/doc/pgsignet/docs, with troubleshooting.md and console.md")
	return p.String(), nil
}

// sections writes these sections of docs/operations.md.
func (p *page) sections(operations string, names ...string) error {
	for _, name := range names {
		if err := p.markdownSection(operations, name); err != nil {
			return fmt.Errorf("docs/operations.md: %w", err)
		}
	}
	return nil
}

// configPage is pgsignet.hcl(5).
func configPage(version, configuration string) string {
	var p page
	p.title("PGSIGNET.HCL", 5, version)
	p.section("NAME")
	p.text("pgsignet.hcl \u2014 configuration of pgsignet")
	p.section("DESCRIPTION")
	p.markdown(configuration)
	p.section("SEE ALSO")
	p.text("`pgsignet`(1), `pgsignet`(8)")
	return p.String()
}
