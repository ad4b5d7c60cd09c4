package main

import (
	"fmt"
	"strings"
)

// markdownSection writes the section of a document that stands under "## name".
func (p *page) markdownSection(text, name string) error {
	_, rest, found := strings.Cut("\n"+text, "\n## "+name+"\n")
	if !found {
		return fmt.Errorf("no section %q", name)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	p.section(name)
	p.markdown(rest)
	return nil
}

// markdown writes a document: its headings, paragraphs, lists, tables and fenced blocks.
func (p *page) markdown(text string) {
	lines := strings.Split(text, "\n")
	for len(lines) > 0 {
		lines = p.element(lines)
	}
}

// element writes what begins at the first line and returns the lines behind it.
func (p *page) element(lines []string) []string {
	line := lines[0]
	switch {
	case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "<!--"):
		return lines[1:]
	case strings.HasPrefix(line, "## "):
		p.section(strings.TrimPrefix(line, "## "))
		return lines[1:]
	case strings.HasPrefix(line, "#"):
		p.subsection(strings.TrimLeft(line, "# "))
		return lines[1:]
	case strings.HasPrefix(strings.TrimSpace(line), "```"):
		n := 1 + count(lines[1:], func(l string) bool { return strings.TrimSpace(l) != "```" })
		p.verbatim(lines[1:n])
		return lines[min(n+1, len(lines)):]
	case strings.HasPrefix(line, "|"):
		n := count(lines, func(l string) bool { return strings.HasPrefix(l, "|") })
		p.table(lines[:n])
		return lines[n:]
	}
	n := 1 + count(lines[1:], func(l string) bool { return !begins(l) })
	paragraph := strings.Join(lines[:n], "\n")
	if marker, rest, ok := listItem(paragraph); ok {
		fmt.Fprintf(p, ".IP %s 4\n%s\n", marker, inline(rest))
	} else {
		p.text(paragraph)
	}
	return lines[n:]
}

func count(lines []string, more func(string) bool) int {
	for i, line := range lines {
		if !more(line) {
			return i
		}
	}
	return len(lines)
}

// begins says that a line cannot belong to the paragraph above it.
func begins(line string) bool {
	_, _, item := listItem(line)
	return item || strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "|") ||
		strings.HasPrefix(strings.TrimSpace(line), "```")
}

func listItem(s string) (marker, rest string, ok bool) {
	if rest, ok := strings.CutPrefix(s, "- "); ok {
		return `\(bu`, rest, true
	}
	marker, rest, ok = strings.Cut(s, ". ")
	return marker + ".", rest, ok && len(marker) == 1 && marker[0] >= '1' && marker[0] <= '9'
}

// table writes each row as a term and its meaning. What stands beyond the second column goes behind a semicolon,
// or in brackets with the column's name where it has one.
func (p *page) table(lines []string) {
	head := cells(lines[0])
	for i, line := range lines {
		row := cells(line)
		if i == 1 || i == 0 && len(lines) > 1 { // the header and the line below it
			continue
		}
		about := ""
		for j := 1; j < len(row) && j < len(head); j++ {
			switch {
			case row[j] == "":
			case about == "":
				about = row[j]
			case head[j] == "":
				about += "; " + row[j]
			default:
				about += " (" + head[j] + ": " + row[j] + ")"
			}
		}
		p.item(row[0], about)
	}
}

// cells splits a table's line; \| belongs to a cell.
func cells(line string) []string {
	parts := strings.Split(strings.Trim(strings.ReplaceAll(strings.TrimSpace(line), `\|`, "\x02"), "|"), "|")
	for i, c := range parts {
		parts[i] = strings.TrimSpace(strings.ReplaceAll(c, "\x02", "|"))
	}
	return parts
}
