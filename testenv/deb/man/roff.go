package main

import (
	"fmt"
	"regexp"
	"strings"
)

// page is a manual page in the making, in the macros of man(7).
type page struct{ strings.Builder }

func (p *page) title(name string, section int, version string) {
	fmt.Fprintf(p, ".\\\" Made by testenv/deb/man; do not edit.\n.TH %s %d \"\" \"pgsignet %s\" \"pgsignet\"\n.nh\n.ad l\n", name, section, escape(version))
}

func (p *page) section(name string)    { fmt.Fprintf(p, ".SH %s\n", strings.ToUpper(escape(name))) }
func (p *page) subsection(name string) { fmt.Fprintf(p, ".SS %s\n", escape(name)) }

// text is one or more paragraphs, in Markdown's inline forms.
func (p *page) text(s string) {
	for _, paragraph := range strings.Split(s, "\n\n") {
		if strings.TrimSpace(paragraph) != "" {
			fmt.Fprintf(p, ".PP\n%s\n", inline(paragraph))
		}
	}
}

// verbatim keeps its lines.
func (p *page) verbatim(lines []string) {
	p.WriteString(".PP\n.RS 4\n.nf\n")
	for _, line := range lines {
		p.WriteString(safe(escape(line)) + "\n")
	}
	p.WriteString(".fi\n.RE\n")
}

// item is a term and what it means.
func (p *page) item(term, about string) {
	fmt.Fprintf(p, ".TP\n\\fB%s\\fR\n%s\n", escape(strings.ReplaceAll(term, "`", "")), inline(about))
}

// escape makes text safe within a line of roff.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`, "'", `\(aq`, "\u2014", `\(em`, "\u2013", `\(en`, "\u2026", "...",
		"\u2192", `\(->`, "\u00d7", `\(mu`, "\u2265", ">=", "\u2264", "<=", "\u21c4", "<->", "\u00b7", "|").Replace(s)
}

// safe keeps a line from being read as a request.
func safe(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, `\(aq`) {
		return `\&` + line
	}
	return line
}

var (
	code = regexp.MustCompile("`([^`]+)`")
	link = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	bold = regexp.MustCompile(`\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*`)
)

// inline turns code and emphasis into bold and leaves a link's text. Code is taken out first, so that
// nothing in it is read as a form.
func inline(s string) string {
	var kept []string
	s = code.ReplaceAllStringFunc(s, func(m string) string {
		kept = append(kept, strings.Trim(m, "`"))
		return "\x00"
	})
	s = link.ReplaceAllString(s, "$1")
	s = bold.ReplaceAllString(s, "\x01$1$2\x02")
	s = strings.NewReplacer("\x01", `\fI`, "\x02", `\fR`).Replace(escape(s))
	for _, k := range kept {
		s = strings.Replace(s, "\x00", `\fB`+escape(k)+`\fR`, 1)
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = safe(strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}
