package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The page's part between these lines is the bench's; the rest is written by hand.
const (
	pageBegin = "<!-- written by make bench: begin -->"
	pageEnd   = "<!-- written by make bench: end -->"
)

// writePage puts the figures into the page at path and the plot beside it, with .svg for .md.
func (r *report) writePage(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(page, []byte(pageBegin))
	_, after, closed := bytes.Cut(rest, []byte(pageEnd))
	if !ok || !closed {
		return errors.New(path + " lacks the lines that say where the figures go")
	}
	plot := strings.TrimSuffix(path, ".md") + ".svg"
	var out bytes.Buffer
	out.Write(before)
	fmt.Fprintf(&out, "%s\n%s\n\n![Memory by number of idle clients](%s)\n%s", pageBegin, r.text(), filepath.Base(plot), pageEnd)
	out.Write(after)
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(plot, r.plot(), 0o644)
}

// text is the table with what it was measured on.
func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. %s; %s, %d cores, which pgbench and PostgreSQL shared. %d s a run, %d rounds in turn, medians.\n\n",
		r.Date.Format("2006-01-02"), strings.Join(r.Versions, "; "), r.Machine, r.Cores, r.Seconds, r.Rounds)
	b.WriteString(header)
	for _, row := range r.Rows {
		b.WriteString("\n" + row.line())
	}
	return b.String()
}

// point is a proxy's memory with so many idle clients.
type point struct {
	Clients int
	KB      int64
}

// Size of the plot and of its margins, in pixels.
const (
	plotWidth, plotHeight = 640, 320
	plotLeft, plotBottom  = 64, 40
	plotTop, plotRight    = 16, 110
)

// colors of the lines, in the order of the proxies' names.
var colors = []string{"#b5651d", "#1d5fb5"}

// plot draws each proxy's memory over its clients as SVG.
func (r *report) plot() []byte {
	maxClients, maxKB := 1, int64(1)
	for _, points := range r.Growth {
		for _, p := range points {
			maxClients, maxKB = max(maxClients, p.Clients), max(maxKB, p.KB)
		}
	}
	x := func(clients int) int { return plotLeft + clients*(plotWidth-plotLeft-plotRight)/maxClients }
	y := func(kb int64) int {
		return plotHeight - plotBottom - int(kb*int64(plotHeight-plotTop-plotBottom)/maxKB)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<text x="%d" y="%d">idle TLS clients</text>`+"\n", plotWidth/2-plotLeft, plotHeight-6)
	for i := range 6 {
		kb, clients := maxKB*int64(i)/5, maxClients*i/5
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#ddd"/>`, plotLeft, y(kb), plotWidth-plotRight, y(kb))
		fmt.Fprintf(&b, `<text x="4" y="%d">%d MB</text>`, y(kb)+4, kb>>10)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%d</text>`+"\n", x(clients), plotHeight-plotBottom+16, clients)
	}
	names := make([]string, 0, len(r.Growth))
	for name := range r.Growth {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		points := r.Growth[name]
		color := colors[i%len(colors)]
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, color)
		for _, p := range points {
			fmt.Fprintf(&b, "%d,%d ", x(p.Clients), y(p.KB))
		}
		last := points[len(points)-1]
		fmt.Fprintf(&b, `"/><text x="%d" y="%d" fill="%s">%s</text>`+"\n", x(last.Clients)+6, y(last.KB)+4, color, name)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
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
