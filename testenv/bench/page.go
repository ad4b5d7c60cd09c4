package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// part is a part of the page that the bench writes; the rest is written by hand.
type part struct {
	begin, end string // lines around it
	text       string
}

// writePage puts the figures into the page at path, and the plot of how they grow beside it, with
// -scale.svg for .md. A part that was not measured stays as it is.
func (r *report) writePage(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	plot := strings.TrimSuffix(path, ".md") + "-scale.svg"
	var parts []part
	if len(r.Rows) > 0 {
		parts = append(parts, part{"<!-- written by make bench: begin -->", "<!-- written by make bench: end -->", r.comparison()})
	}
	if len(r.Growth) > 0 {
		parts = append(parts, part{"<!-- written by make bench, scale: begin -->", "<!-- written by make bench, scale: end -->",
			r.scale(filepath.Base(plot))})
		if err := os.WriteFile(plot, r.plot(), 0o644); err != nil {
			return err
		}
	}
	for _, p := range parts {
		before, rest, ok := bytes.Cut(page, []byte(p.begin))
		_, after, closed := bytes.Cut(rest, []byte(p.end))
		if !ok || !closed {
			return fmt.Errorf("%s lacks the lines %q and %q", path, p.begin, p.end)
		}
		page = fmt.Appendf(nil, "%s%s\n%s\n%s%s", before, p.begin, p.text, p.end, after)
	}
	return os.WriteFile(path, page, 0o644)
}

// comparison is the table with what it was measured on.
func (r *report) comparison() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, medians.\n\n%s", r.measuredOn(), header)
	for _, row := range r.Rows {
		b.WriteString("\n" + row.line())
	}
	return b.String()
}

// scale is the tables of what grows, and their plot.
func (r *report) scale(plot string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at each step, medians.\n", r.measuredOn())
	for _, g := range r.Growth {
		b.WriteString("\n" + g.table())
	}
	fmt.Fprintf(&b, "\n![How memory, throughput and time grow with idle clients and with roles](%s)\n", plot)
	return b.String()
}

func (r *report) measuredOn() string {
	return fmt.Sprintf("%s. %s; %s, %d cores, which clients and PostgreSQL shared. %d s a run, %d rounds",
		r.Date.Format("2006-01-02"), strings.Join(r.Versions, "; "), r.Machine, r.Cores, r.Seconds, r.Rounds)
}

// machine is the processor's name, from /proc/cpuinfo.
func machine() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
