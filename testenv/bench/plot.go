package main

import (
	"bytes"
	"fmt"
)

// A plot is a grid of panels: a row for each experiment, a column for each figure. Sizes in pixels.
const (
	panelWidth, panelHeight = 300, 220
	panelLeft, panelRight   = 52, 16
	panelTop, panelBottom   = 34, 40
	legendHeight            = 24
)

// plotStyle is legible on a light page and on a dark one: a viewer says which it has.
const plotStyle = `<style>
svg { font: 12px sans-serif }
.page { fill: #ffffff }
text { fill: #24292f }
.grid { stroke: #d0d7de; stroke-width: 1 }
.PgBouncer { stroke: #b5541d; fill: #b5541d }
.pgsignet { stroke: #1d5fb5; fill: #1d5fb5 }
polyline { fill: none !important; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 }
text { fill: #e6edf3 }
.grid { stroke: #30363d }
.PgBouncer { stroke: #f0883e; fill: #f0883e }
.pgsignet { stroke: #58a6ff; fill: #58a6ff }
}
</style>
`

// figures are the columns of the plot.
var figures = []struct {
	title string
	of    func(point) float64
}{
	{"memory, MB", func(at point) float64 { return float64(at.KB) / 1024 }},
	{"queries a second", func(at point) float64 { return at.Rate }},
	{"cpu for a query, µs", func(at point) float64 { return micro(at.CPU) }},
}

// plot draws each proxy's figures over what grows as SVG that needs no other file.
func (r *report) plot() []byte {
	var b bytes.Buffer
	width, height := len(figures)*panelWidth, legendHeight+len(r.Growth)*panelHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d">
%[3]s<rect class="page" width="%[1]d" height="%[2]d"/>`+"\n", width, height, plotStyle)
	for i, name := range proxies {
		x := panelLeft + i*120
		fmt.Fprintf(&b, `<circle class="%s" cx="%d" cy="14" r="4"/><text x="%d" y="18">%s</text>`+"\n", name, x, x+10, name)
	}
	for row, g := range r.Growth {
		for column, f := range figures {
			fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", column*panelWidth, legendHeight+row*panelHeight)
			drawPanel(&b, g, f.title, f.of)
			b.WriteString("</g>\n")
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// drawPanel draws one figure of one experiment. Both axes begin at 0.
func drawPanel(b *bytes.Buffer, g *growth, title string, of func(point) float64) {
	most, top := float64(g.steps[len(g.steps)-1]), 0.0
	for _, points := range g.Points {
		for _, at := range points {
			top = max(top, of(at))
		}
	}
	top = roundUp(top)
	x := func(n float64) float64 { return panelLeft + n/most*(panelWidth-panelLeft-panelRight) }
	y := func(v float64) float64 {
		return panelHeight - panelBottom - v/top*(panelHeight-panelTop-panelBottom)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", panelLeft, panelTop-10, title)
	for i := range 5 {
		v, n := top*float64(i)/4, most*float64(i)/4
		fmt.Fprintf(b, `<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`, panelLeft, y(v), panelWidth-panelRight, y(v))
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%g</text>`, panelLeft-6, y(v)+4, v)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%.0f</text>`+"\n", x(n), panelHeight-panelBottom+16, n)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (panelLeft+panelWidth-panelRight)/2, panelHeight-panelBottom+32, g.Of)
	for _, name := range proxies {
		var line, dots bytes.Buffer
		for _, at := range g.Points[name] {
			px, py := x(float64(at.N)), y(of(at))
			fmt.Fprintf(&line, "%.1f,%.1f ", px, py)
			fmt.Fprintf(&dots, `<circle class="%s" cx="%.1f" cy="%.1f" r="3"/>`, name, px, py)
		}
		fmt.Fprintf(b, `<polyline class="%s" points="%s"/>%s`+"\n", name, line.String(), dots.String())
	}
}

// roundUp is the next number of the shape 1, 2, 4 or 8 times a power of ten: its quarters are short.
func roundUp(v float64) float64 {
	for power := 1.0; ; power *= 10 {
		for _, digit := range []float64{1, 2, 4, 8} {
			if digit*power >= v {
				return digit * power
			}
		}
	}
}
