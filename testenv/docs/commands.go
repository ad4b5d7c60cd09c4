package docs

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// Commands are the command lines in a block of lang sh, or of console behind "$ ", as words.
// Continued lines are joined; comments and what follows a pipe or && is taken apart.
func Commands(b *Block) [][]string {
	var all [][]string
	text := strings.ReplaceAll(b.Text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if b.Lang == "console" {
			var prompt bool
			if line, prompt = strings.CutPrefix(line, "$ "); !prompt {
				continue
			}
		}
		for _, words := range split(line) {
			if len(words) > 0 {
				all = append(all, words)
			}
		}
	}
	return all
}

var shellWord = regexp.MustCompile(`"[^"]*"|'[^']*'|&&|\|\||[|;&]|[^\s"'|;&]+`)

// split takes one shell line apart into commands of words. A quoted part is a word of its own, which
// is enough for what documents show.
func split(line string) [][]string {
	commands := [][]string{nil}
	for _, word := range shellWord.FindAllString(line, -1) {
		switch word {
		case "&&", "||", "|", ";", "&":
			commands = append(commands, nil)
			continue
		}
		if strings.HasPrefix(word, "#") {
			break
		}
		last := len(commands) - 1
		commands[last] = append(commands[last], strings.Trim(word, `"'`))
	}
	return commands
}

// Program answers what commands and flags a program has, from its own help.
type Program struct {
	Path string
	help map[string]string // by command
}

// Check says what is wrong with a command line, the program's name excluded.
func (p *Program) Check(args []string) error {
	var command []string
	for _, word := range args {
		if strings.HasPrefix(word, "-") {
			break
		}
		known, err := p.commands(command)
		if err != nil {
			return err
		}
		if len(known) == 0 {
			break // word is an argument
		}
		if !slices.Contains(known, word) {
			return fmt.Errorf("no command %q; there are %s", word, strings.Join(known, ", "))
		}
		command = append(command, word)
	}
	help, err := p.helpOf(command)
	if err != nil {
		return err
	}
	for _, word := range args {
		flag, _, _ := strings.Cut(word, "=")
		if strings.HasPrefix(flag, "-") && flag != "-" && !regexp.MustCompile(`(^|[\s,])`+regexp.QuoteMeta(flag)+`[\s,]`).MatchString(help) {
			return fmt.Errorf("%q has no flag %s", strings.Join(command, " "), flag)
		}
	}
	return nil
}

func (p *Program) helpOf(command []string) (string, error) {
	key := strings.Join(command, " ")
	if text, ok := p.help[key]; ok {
		return text, nil
	}
	out, err := exec.Command(p.Path, append(slices.Clone(command), "--help")...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s --help: %w", p.Path, key, err)
	}
	if p.help == nil {
		p.help = map[string]string{}
	}
	p.help[key] = string(out)
	return p.help[key], nil
}

// commands are the subcommands of a command, which may be the program itself.
func (p *Program) commands(command []string) ([]string, error) {
	help, err := p.helpOf(command)
	if err != nil {
		return nil, err
	}
	_, list, found := strings.Cut(help, "Available Commands:\n")
	if !found {
		return nil, nil
	}
	list, _, _ = strings.Cut(list, "\n\n")
	var names []string
	for line := range strings.Lines(list) {
		if words := strings.Fields(line); len(words) > 0 {
			names = append(names, words[0])
		}
	}
	return names, nil
}
