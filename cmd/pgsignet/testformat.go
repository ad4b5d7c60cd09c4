package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/pgsignet/pgsignet/policy"
)

// testFormats are the forms of `test --format`.
var testFormats = map[string]func(io.Writer, []policy.TestResult) error{
	"text": writeTestText,
	"tap":  writeTestTAP,
	"json": writeTestJSON,
}

// writeTestText writes a line for each test, and one that sums up.
func writeTestText(w io.Writer, results []policy.TestResult) error {
	out := &printer{w: w}
	failed := 0
	for _, r := range results {
		if r.Err == nil {
			out.printf("ok    %s (%s): %s\n", r.Test.Name, testPlace(r.Test), outcomeText(r))
			continue
		}
		failed++
		out.printf("FAIL  %s (%s): %v\n", r.Test.Name, testPlace(r.Test), r.Err)
	}
	out.printf("%s, %d failed.\n", count(len(results), "test"), failed)
	return out.err
}

// outcomeText says what a login became.
func outcomeText(r policy.TestResult) string {
	switch e := r.Explanation; {
	case e.Grant != nil && e.Grant.Admin != "":
		return fmt.Sprintf("map %q, console %s", e.Grant.Rule.Name, e.Grant.Admin)
	case e.Grant != nil:
		return fmt.Sprintf("map %q, role %q", e.Grant.Rule.Name, e.Grant.Role)
	case e.Denied != nil:
		return "refused, " + e.Denied.Reason()
	}
	return "certificate refused"
}

// writeTestTAP writes the Test Anything Protocol, version 13.
func writeTestTAP(w io.Writer, results []policy.TestResult) error {
	out := &printer{w: w}
	out.printf("TAP version 13\n1..%d\n", len(results))
	for i, r := range results {
		if r.Err == nil {
			out.printf("ok %d - %s\n", i+1, tapText(r.Test.Name))
			continue
		}
		out.printf("not ok %d - %s\n  ---\n  message: %s\n  at: %s\n  ...\n", i+1, tapText(r.Test.Name), jsonText(r.Err.Error()), jsonText(testPlace(r.Test)))
	}
	return out.err
}

// tapText keeps a name on its line and from being read as a directive.
func tapText(s string) string {
	var b []rune
	for _, r := range s {
		switch {
		case r < ' ' || r == 0x7f:
			r = ' '
		case r == '#':
			b = append(b, '\\')
		}
		b = append(b, r)
	}
	return string(b)
}

// jsonText is s as a JSON string, which is also one of YAML.
func jsonText(s string) string {
	b, _ := json.Marshal(s) // a string always has a form
	return string(b)
}

// testJSON is one test of the JSON form.
type testJSON struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Line   int    `json:"line"`
	OK     bool   `json:"ok"`
	Error  string `json:"error,omitempty"`
	Map    string `json:"map,omitempty"`
	Role   string `json:"role,omitempty"`
	Reason string `json:"reason,omitempty"` // why the login was refused
}

func writeTestJSON(w io.Writer, results []policy.TestResult) error {
	tests, failed := []testJSON{}, 0
	for _, r := range results {
		t := testJSON{Name: r.Test.Name, File: r.Test.File, Line: r.Test.Line, OK: r.Err == nil}
		if r.Err != nil {
			t.Error = r.Err.Error()
			failed++
		}
		switch e := r.Explanation; {
		case e.Grant != nil:
			t.Map, t.Role = e.Grant.Rule.Name, e.Grant.Role
		case e.Denied != nil:
			t.Reason = e.Denied.Reason()
		}
		tests = append(tests, t)
	}
	return writeJSON(w, struct {
		Tests  []testJSON `json:"tests"`
		Passed int        `json:"passed"`
		Failed int        `json:"failed"`
	}{tests, len(results) - failed, failed})
}
