package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// Problems is everything wrong or doubtful in a configuration, in file and line order.
type Problems struct {
	diags hcl.Diagnostics
	files map[string]*hcl.File
}

// HasErrors reports whether the configuration must not be used.
func (p *Problems) HasErrors() bool { return p.diags.HasErrors() }

// AddError adds what a caller found wrong with a configuration that loaded.
func (p *Problems) AddError(summary, detail string) {
	p.diags = p.diags.Append(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail})
}

// Join adds the problems of another configuration.
func (p *Problems) Join(other *Problems) {
	p.diags = append(p.diags, other.diags...)
	for name, f := range other.files {
		if p.files == nil {
			p.files = map[string]*hcl.File{}
		}
		p.files[name] = f
	}
}

// Counts is the number of errors and of warnings.
func (p *Problems) Counts() (errors, warnings int) {
	for _, d := range p.diags {
		if d.Severity == hcl.DiagError {
			errors++
		} else {
			warnings++
		}
	}
	return errors, warnings
}

// Error is the first error in one line, with the number of the others.
func (p *Problems) Error() string {
	errors, _ := p.Counts()
	for _, d := range p.diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		text := d.Summary + "; " + d.Detail
		if d.Subject != nil { // HCL's own Error says <nil> for none
			text = fmt.Sprintf("%v: %s", d.Subject, text)
		}
		if errors > 1 {
			text = fmt.Sprintf("%s (and %d more)", text, errors-1)
		}
		return text
	}
	return "no errors"
}

// WriteText writes each problem with its source lines. Width is that of the terminal in
// characters, 0 for no wrapping.
func (p *Problems) WriteText(w io.Writer, width uint, color bool) error {
	return hcl.NewDiagnosticTextWriter(w, p.files, width, color).WriteDiagnostics(p.diags)
}

// Problem is one entry of the JSON form.
type Problem struct {
	Severity string `json:"severity"` // error | warning
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Source   string `json:"source,omitempty"` // the text meant
}

// List is the problems as plain values.
func (p *Problems) List() []Problem {
	out := make([]Problem, 0, len(p.diags))
	for _, d := range p.diags {
		one := Problem{Severity: "error", Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			one.Severity = "warning"
		}
		if s := d.Subject; s != nil {
			one.File, one.Line, one.Column = s.Filename, s.Start.Line, s.Start.Column
			if f := p.files[s.Filename]; f != nil && s.CanSliceBytes(f.Bytes) {
				one.Source = string(s.SliceBytes(f.Bytes))
			}
		}
		out = append(out, one)
	}
	return out
}

// WriteJSON writes {"valid":…,"errors":n,"warnings":n,"problems":[…]} and a newline.
func (p *Problems) WriteJSON(w io.Writer) error {
	errors, warnings := p.Counts()
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Valid    bool      `json:"valid"`
		Errors   int       `json:"errors"`
		Warnings int       `json:"warnings"`
		Problems []Problem `json:"problems"`
	}{errors == 0, errors, warnings, p.List()})
}

// problems sorts what was collected by place, errors without a place first, and drops repetitions.
func (d *decoder) problems() *Problems {
	type key struct {
		summary, place string
	}
	seen := map[key]bool{}
	var diags hcl.Diagnostics
	for _, one := range d.diags {
		k := key{one.Summary + one.Detail, ""}
		if one.Subject != nil {
			k.place = one.Subject.String()
		}
		if !seen[k] {
			seen[k] = true
			diags = append(diags, one)
		}
	}
	slices.SortStableFunc(diags, byPlace)
	return &Problems{diags: diags, files: d.sources}
}

func byPlace(a, b *hcl.Diagnostic) int {
	var none hcl.Range
	x, y := &none, &none
	if a.Subject != nil {
		x = a.Subject
	}
	if b.Subject != nil {
		y = b.Subject
	}
	return cmp.Or(
		cmp.Compare(x.Filename, y.Filename),
		cmp.Compare(x.Start.Byte, y.Start.Byte),
		cmp.Compare(a.Summary, b.Summary),
		cmp.Compare(a.Detail, b.Detail),
	)
}
