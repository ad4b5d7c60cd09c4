package main

import (
	"strings"
	"testing"
)

// A table's columns stay apart: one without a name behind a semicolon, one with a name in brackets.
func TestTable(t *testing.T) {
	for _, tt := range []struct{ name, head, row, want string }{
		{"two columns", "| key | |", "| `a` | what it is |", "what it is"},
		{"a third without a name", "| key | field | |", "| `a` | the name | any of them |", "the name; any of them"},
		{"a third with a name", "| key | | default |", "| `a` | what it is | 3 |", "what it is (default: 3)"},
		{"an empty second", "| key | field | |", "| `a` | | any of them |", "any of them"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p page
			p.table([]string{tt.head, "| --- | --- | --- |", tt.row})
			if want := ".TP\n\\fBa\\fR\n" + tt.want + "\n"; p.String() != want {
				t.Errorf("%s\n%s\ngot  %q\nwant %q", tt.head, tt.row, p.String(), want)
			}
		})
	}
}

// The manual pages name files as the package installs them, and every table and section is there.
func TestPages(t *testing.T) {
	t.Chdir("../../..")
	operations, err := document("operations.md")
	if err != nil {
		t.Fatal(err)
	}
	configuration, err := document("configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	eighth, err := operationsPage("1", operations)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"pgsignet(8)": eighth, "pgsignet.hcl(5)": configPage("1", configuration)} {
		if strings.Contains(text, "deploy/") {
			t.Errorf("%s names a file of the sources, which the package does not install", name)
		}
		if !strings.Contains(text, "/usr/share/doc/pgsignet/examples/") {
			t.Errorf("%s names no example", name)
		}
	}
	if !strings.Contains(eighth, "SIGUSR2") || !strings.Contains(eighth, `pool_maxwait_seconds`) {
		t.Errorf("pgsignet(8) lacks signals or metrics:\n%s", eighth)
	}
}
