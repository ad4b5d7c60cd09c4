package compat

import (
	"fmt"
	"regexp"
	"strings"
)

// Row is a driver's line of the table: what it did through the broker in each mode.
type Row struct {
	Driver               Driver
	Version, Library     string
	Session, Transaction *Result // nil: the driver is absent
	Refusals             bool    // its user reads why a certificate was refused
}

// Set notes what the driver did in a mode; "direct" has no place in the table.
func (r *Row) Set(mode string, result *Result) {
	switch mode {
	case "session":
		r.Session, r.Version, r.Library = result, result.Version, result.Library
	case "transaction":
		r.Transaction = result
	}
}

// columns are the table's headings, one per step.
var columns = map[string]string{
	"simple": "simple query", "parameters": "parameters", "prepared": "prepared", "transaction": "transaction, error",
	"copy_in": "COPY in", "copy_out": "COPY out", "large": "10 MB", "cancel": "cancel", "notify": "LISTEN", "pipeline": "pipeline",
	"migrate": "migrations", "reflect": "reads the schema", "objects": "objects", "savepoint": "nested transactions", "row_locks": "row locks",
	"cursor": "rows in portions", "together": "eight at once",
}

// Markdown is the table as docs/compatibility.md shows it, of drivers or of applications.
func Markdown(rows []Row) string {
	steps, application := rows[0].Driver.Steps(), rows[0].Driver.Application
	var head, rule, body strings.Builder
	what := "driver"
	if application {
		what = "application"
	}
	head.WriteString("| " + what + " | version | library |")
	rule.WriteString("| --- | --- | --- |")
	for _, step := range steps {
		head.WriteString(" " + columns[step] + " |")
		rule.WriteString(" --- |")
	}
	if !application {
		head.WriteString(" refusal |")
		rule.WriteString(" --- |")
	}
	for _, row := range rows {
		fmt.Fprintf(&body, "| %s | %s | %s |", row.Driver.Name, row.Version, row.Library)
		for _, step := range steps {
			body.WriteString(" " + cell(row, step) + " |")
		}
		if !application {
			body.WriteString(" " + refusalCell(row) + " |")
		}
		body.WriteString("\n")
	}
	return head.String() + "\n" + rule.String() + "\n" + body.String()
}

func refusalCell(row Row) string {
	switch {
	case row.Session == nil:
		return "not run"
	case row.Refusals:
		return "yes"
	}
	return "**no**"
}

// cell sums up a step over both modes.
func cell(row Row, step string) string {
	if row.Session == nil || row.Transaction == nil {
		return "not run"
	}
	session, transaction := row.Session.Find(step).Status, row.Transaction.Find(step).Status
	switch {
	case session == OK && transaction == OK:
		return "yes"
	case session == None && transaction == None:
		return "–"
	case session == OK:
		return "session mode"
	case transaction == OK:
		return "transaction mode"
	}
	return "**no**"
}

// numbers are what a security update of a driver changes.
var numbers = regexp.MustCompile(`\d+(\.\d+)+`)

// WithoutVersions is a table whose version numbers do not count.
func WithoutVersions(table string) string { return numbers.ReplaceAllString(table, "N") }
