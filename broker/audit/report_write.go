package audit

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Format is how a report is written.
type Format string

// The formats.
const (
	FormatText Format = "text"
	FormatCSV  Format = "csv"
	FormatJSON Format = "json"
	FormatHTML Format = "html" // one file, nothing loaded from elsewhere
)

// Write writes the report.
func (s *Summary) Write(w io.Writer, f Format) error {
	switch f {
	case FormatText:
		return s.writeText(w)
	case FormatCSV:
		return s.writeCSV(w)
	case FormatJSON:
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(s)
	case FormatHTML:
		return s.writeHTML(w)
	}
	return fmt.Errorf("report format %q: text, csv, json or html", f)
}

// columns are the heads of a report's numbers.
var columns = []string{"sessions", "refusals", "statements", "errors", "unknown", "undone", "rows"}

func (s *Sum) numbers() []int64 {
	return []int64{s.Sessions, s.Refusals, s.Statements, s.Errors, s.Unknown, s.Undone, s.Rows}
}

// writeText writes an aligned table; names are made printable first.
func (s *Summary) writeText(w io.Writer) error {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := "\t" + strings.Join(columns, "\t") + "\ttime\tfirst seen\tlast seen\t"
	fmt.Fprintln(t, head)
	for _, l := range append(s.Lines, &s.Total) {
		fmt.Fprint(t, "\t")
		for _, n := range l.numbers() {
			fmt.Fprint(t, n, "\t")
		}
		fmt.Fprint(t, l.Time.Round(time.Millisecond), "\t", stamp(l.First), "\t", stamp(l.Last), "\t\n")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	names := append([]string{string(s.By)}, s.names()...)
	wide := 0
	for _, n := range names {
		wide = max(wide, len([]rune(n)))
	}
	for i, l := range strings.Split(strings.TrimRight(b.String(), "\n"), "\n") {
		pad := strings.Repeat(" ", wide-len([]rune(names[i])))
		if _, err := fmt.Fprintln(w, names[i]+pad+strings.TrimRight(l, " ")); err != nil {
			return err
		}
	}
	return nil
}

// names are the printable names of the lines and of the total.
func (s *Summary) names() []string {
	var all []string
	for _, l := range s.Lines {
		all = append(all, l.name(s.By))
	}
	return append(all, "total")
}

// name is how a line is shown: a certificate by who it is, then the beginning of its fingerprint.
func (s *Sum) name(by By) string {
	name := Printable(s.Key)
	if by == ByCert && s.Who != "" {
		name = Printable(s.Who) + " " + name[:min(len(name), 12)]
	}
	return cutRune(name, 60)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("2006-01-02 15:04:05")
}

// writeCSV writes one line a key, without the total. A cell that a spreadsheet would take for a formula
// gets an apostrophe in front.
func (s *Summary) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	head := append([]string{string(s.By), "who"}, columns...)
	if err := c.Write(append(head, "time_us", "first_seen", "last_seen", "roles", "databases")); err != nil {
		return err
	}
	for _, l := range s.Lines {
		cells := []string{plainCell(l.Key), plainCell(l.Who)}
		for _, n := range l.numbers() {
			cells = append(cells, strconv.FormatInt(n, 10))
		}
		cells = append(cells, strconv.FormatInt(l.TimeUS, 10), l.First.Format(time.RFC3339), l.Last.Format(time.RFC3339),
			plainCell(strings.Join(l.Roles, " ")), plainCell(strings.Join(l.Databases, " ")))
		if err := c.Write(cells); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func plainCell(s string) string {
	s = Printable(s)
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}

//go:embed report.html
var reportHTML string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"stamp": stamp, "join": func(names []string) string { return strings.Join(names, ", ") },
	"short":  func(d time.Duration) string { return d.Round(time.Millisecond).String() },
	"number": grouped, "printable": Printable,
}).Parse(reportHTML))

// page is what the template shows.
type page struct {
	*Summary
	Charts   []chart
	Timeline timeline
}

// chart is one bar chart: the keys with the most of something.
type chart struct {
	Title string
	Bars  []bar
}

// bar is one line of a chart; Width is in per cent of the longest.
type bar struct {
	Name  string
	Value int64
	Width float64
}

// timeline is a chart over time, drawn in a field of 600 by 100.
type timeline struct {
	From, To string
	Max      int64
	Bars     []column
}

// column is one interval: the heights of its parts, and where they start from above.
type column struct {
	X, Wide              float64
	Statements, Refusals float64
	StatementsY          float64
	RefusalsY            float64
	Label                string
}

// maxChart is how many bars a chart has.
const maxChart = 12

func (s *Summary) writeHTML(w io.Writer) error {
	p := page{Summary: s, Timeline: drawTimeline(s.Timeline)}
	for _, c := range []struct {
		title string
		value func(*Sum) int64
	}{
		{"Statements", func(l *Sum) int64 { return l.Statements }},
		{"Sessions", func(l *Sum) int64 { return l.Sessions }},
		{"Refusals", func(l *Sum) int64 { return l.Refusals }},
		{"Rows", func(l *Sum) int64 { return l.Rows }},
	} {
		if bars := s.bars(c.value); len(bars) > 0 {
			p.Charts = append(p.Charts, chart{c.title, bars})
		}
	}
	return reportTemplate.Execute(w, p)
}

// bars are the lines with the highest value, highest first.
func (s *Summary) bars(value func(*Sum) int64) []bar {
	var all []bar
	for _, l := range s.Lines {
		if n := value(l); n > 0 {
			all = append(all, bar{Name: l.name(s.By), Value: n})
		}
	}
	slices.SortStableFunc(all, func(a, b bar) int { return cmp.Compare(b.Value, a.Value) })
	all = all[:min(len(all), maxChart)]
	for i := range all {
		all[i].Width = 100 * float64(all[i].Value) / float64(all[0].Value)
	}
	return all
}

// drawTimeline scales the intervals to the field.
func drawTimeline(bars []Interval) timeline {
	t := timeline{}
	for _, b := range bars {
		t.Max = max(t.Max, b.Statements+b.Refusals)
	}
	if t.Max == 0 {
		return t
	}
	t.From, t.To = stamp(bars[0].Start), stamp(bars[len(bars)-1].Start)
	wide := 600 / float64(len(bars))
	for i, b := range bars {
		c := column{X: float64(i) * wide, Wide: wide * 0.85}
		c.Statements = 100 * float64(b.Statements) / float64(t.Max)
		c.Refusals = 100 * float64(b.Refusals) / float64(t.Max)
		c.StatementsY = 100 - c.Statements
		c.RefusalsY = c.StatementsY - c.Refusals
		c.Label = fmt.Sprintf("%s: %d sessions, %d statements, %d refusals", stamp(b.Start), b.Sessions, b.Statements, b.Refusals)
		t.Bars = append(t.Bars, c)
	}
	return t
}

// grouped writes n with a thin gap between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign, digits := "", s
	if n < 0 {
		sign, digits = "-", s[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteRune('\u2009')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// ParseFormat reads the flag --format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case FormatText, FormatCSV, FormatJSON, FormatHTML:
		return f, nil
	}
	return "", fmt.Errorf("report format %q: text, csv, json or html", s)
}
