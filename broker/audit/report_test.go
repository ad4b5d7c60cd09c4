package audit

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/golden"
)

func TestReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	story(t, dir)
	for _, by := range []By{ByCert, ByRole, ByMap, ByDatabase, ByReason} {
		t.Run(string(by), func(t *testing.T) {
			s, err := Report(context.Background(), ReportConfig{Directory: dir, By: by})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range []Format{FormatText, FormatCSV, FormatJSON} {
				var b bytes.Buffer
				if err := s.Write(&b, f); err != nil {
					t.Fatal(err)
				}
				golden.Bytes(t, filepath.Join("testdata", "reports", string(by)+"."+string(f)), b.Bytes())
			}
		})
	}
}

func TestReportNarrowed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	story(t, dir)
	s, err := Report(context.Background(), ReportConfig{Directory: dir, By: ByRole, Query: Query{CN: "bob"}})
	if err != nil {
		t.Fatal(err)
	}
	want := Sum{Sessions: 1, Statements: 2, Unknown: 1, Rows: 12}
	got := Sum{Sessions: s.Total.Sessions, Statements: s.Total.Statements, Unknown: s.Total.Unknown, Rows: s.Total.Rows, Errors: s.Total.Errors, Refusals: s.Total.Refusals}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("total %+v, want %+v", got, want)
	}
}

// The page loads nothing, holds every name escaped, and parses.
func TestReportPage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := openTest(t, Config{Directory: dir})
	evil := `<script>alert(1)</script>"'&` + "\u202e"
	for i := range 3 {
		l.Append(&Record{Event: SessionOpen, SID: fmt.Sprint("s", i), Cert: &Cert{SHA256: "ab", CN: evil}, Granted: &Granted{Role: evil, Database: evil}})
		l.Append(&Record{Event: Statement, SID: fmt.Sprint("s", i), Stmt: &Stmt{ID: 1, Phase: PhaseAll, Op: "query", Text: evil, SQLState: "00000", Rows: 1}})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Report(context.Background(), ReportConfig{Directory: dir, By: ByCert})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Write(&b, FormatHTML); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"<script", "\u202e", "ZgotmplZ", "http://", "https://", "src=", "url(", "@import"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, want := range []string{"<svg", "<rect", `class="bar"`, "width:100.0%", "&lt;script&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

func TestReportCSVIsNoFormula(t *testing.T) {
	s := &Summary{By: ByRole, Lines: []*Sum{{Key: "=cmd|' /C calc'!A0"}}}
	var b bytes.Buffer
	if err := s.Write(&b, FormatCSV); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || !strings.HasPrefix(rows[1][0], "'=") {
		t.Errorf("first cell %q (%v), want an apostrophe in front", rows[1][0], err)
	}
}
