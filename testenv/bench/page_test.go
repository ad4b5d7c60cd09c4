package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

const somePage = `# Page
<!-- written by make bench: begin -->
old rows
<!-- written by make bench: end -->
by hand
<!-- written by make bench, scale: begin -->
old scale
<!-- written by make bench, scale: end -->
the end
`

// Each part of the page is written when it was measured, and else left alone.
func TestPageParts(t *testing.T) {
	rowsOnly := &report{Rows: []*result{{Title: "a row", Error: "PgBouncer: it died | badly"}}}
	grown := growths()
	grown[0].Points = map[string][]point{"pgsignet": {{N: 0, KB: 2048}}}
	for _, tt := range []struct {
		name        string
		report      *report
		has, hasNot []string
		plot        bool
	}{
		{"rows", rowsOnly, []string{"a row", "FAILED: PgBouncer: it died / badly", "old scale", "by hand", "the end"}, []string{"old rows"}, false},
		{"scale", &report{Growth: grown}, []string{"old rows", "(page-scale.svg)", "| 0 | pgsignet | 2.0 MB |", "| 10000 | PgBouncer | FAILED |", "the end"}, []string{"old scale"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "page.md")
			if err := os.WriteFile(path, []byte(somePage), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := tt.report.writePage(path); err != nil {
				t.Fatal(err)
			}
			page, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range tt.has {
				if !strings.Contains(string(page), text) {
					t.Errorf("the page lacks %q:\n%s", text, page)
				}
			}
			for _, text := range tt.hasNot {
				if strings.Contains(string(page), text) {
					t.Errorf("the page has %q:\n%s", text, page)
				}
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), "page-scale.svg")); (err == nil) != tt.plot {
				t.Errorf("plot: %v, want it written: %v", err, tt.plot)
			}
		})
	}
}

// The plot is XML, whatever was measured.
func TestPlotParses(t *testing.T) {
	empty, grown := growths(), growths()
	for _, g := range grown {
		g.Points = map[string][]point{}
		for _, n := range g.steps {
			g.Points["PgBouncer"] = append(g.Points["PgBouncer"], point{N: n, KB: int64(n) * 20, Rate: 7000, CPU: 60_000})
		}
	}
	for _, list := range [][]*growth{empty, grown} {
		plot := (&report{Growth: list}).plot()
		d := xml.NewDecoder(bytes.NewReader(plot))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in\n%s", err, plot)
			}
		}
		if bytes.Contains(plot, []byte("NaN")) {
			t.Errorf("not a number in\n%s", plot)
		}
	}
}

// A row whose proxies do not start says so, and the bench goes on.
func TestFailedRow(t *testing.T) {
	dir := t.TempDir()
	w := &world{dir: dir, pg: &pgserver.Server{}, pgbouncer: filepath.Join(dir, "none"), settings: settings{rounds: 3, bin: filepath.Join(dir, "none")}}
	res := w.measure(context.Background(), row{name: "x", title: "x", value: 1})
	if res.Pass || !strings.Contains(res.Error, "PgBouncer: fork") || !strings.Contains(res.Error, "pgsignet: fork") || !strings.Contains(res.line(), "FAILED") {
		t.Errorf("%+v", res)
	}
}

// No client is lost between drivers, and none comes twice.
func TestShare(t *testing.T) {
	for _, n := range []int{0, 1, 5, 16, 4999, 10_000} {
		for of := 1; of < 5; of++ {
			sum := 0
			for i := range of {
				sum += share(n, i, of)
			}
			if sum != n {
				t.Errorf("%d clients over %d drivers: %d", n, of, sum)
			}
		}
	}
}
