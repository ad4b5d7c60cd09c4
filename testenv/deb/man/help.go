package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// help is what `pgsignet … --help` prints, taken apart.
type help struct {
	about    string
	usage    []string
	examples []string
	flags    []flag
	commands []string
}

type flag struct{ names, about string }

var (
	heading  = regexp.MustCompile(`^[A-Z][A-Za-z ]*:$`)
	flagLine = regexp.MustCompile(`^\s+(-\w, )?(--\S+)( \S+)?\s\s+(.*)$`)
)

func readHelp(program string, command []string) (*help, error) {
	out, err := exec.Command(program, append(slices.Clone(command), "--help")...).Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s --help: %w", program, strings.Join(command, " "), err)
	}
	return parseHelp(string(out))
}

func parseHelp(text string) (*help, error) {
	h := &help{}
	part := ""
	var about []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if heading.MatchString(line) {
			part = strings.TrimSuffix(line, ":")
			continue
		}
		words := strings.Fields(line)
		switch {
		case part == "":
			about = append(about, line)
		case len(words) == 0 || strings.HasPrefix(line, "Use \""):
		case part == "Usage":
			h.usage = append(h.usage, strings.TrimSpace(line))
		case part == "Examples":
			h.examples = append(h.examples, strings.TrimSpace(line))
		case part == "Available Commands":
			h.commands = append(h.commands, words[0])
		case part == "Flags" || part == "Global Flags":
			m := flagLine.FindStringSubmatch(line)
			if m == nil {
				return nil, fmt.Errorf("a flag's line that is not understood: %q", line)
			}
			if m[2] != "--help" {
				h.flags = append(h.flags, flag{m[1] + m[2] + m[3], m[4]})
			}
		default:
			return nil, fmt.Errorf("a part of the help that is not understood: %q", part)
		}
	}
	h.about = strings.TrimSpace(strings.Join(about, "\n"))
	return h, nil
}

// commands writes a command's subcommands, and theirs.
func (p *page) commands(program string, above []string, h *help) error {
	for _, name := range h.commands {
		switch name { // cobra's own
		case "help":
			continue
		case "completion":
			p.subsection("pgsignet completion")
			p.text("Completion prints the script that lets a shell complete commands and flags. The package has installed those of all three.")
			p.verbatim([]string{"pgsignet completion bash|zsh|fish"})
			continue
		}
		command := append(slices.Clone(above), name)
		sub, err := readHelp(program, command)
		if err != nil {
			return err
		}
		p.subsection("pgsignet " + strings.Join(command, " "))
		p.text(sub.about)
		p.verbatim(sub.usage)
		for _, f := range sub.flags {
			p.item(f.names, f.about)
		}
		if len(sub.examples) > 0 {
			p.text("Examples:")
			p.verbatim(sub.examples)
		}
		if err := p.commands(program, command, sub); err != nil {
			return err
		}
	}
	return nil
}
