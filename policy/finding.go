package policy

import (
	"fmt"
	"strings"
)

// Severity tells what Compile refuses from what it only mentions.
type Severity uint8

// The severities. The zero value is the stricter.
const (
	Error Severity = iota
	Warning
)

// String is the word that opens a message.
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Finding is something wrong with a rule.
type Finding struct {
	Severity Severity
	Index    int     // of the rule in Config.Rules
	Rule     RuleRef // its name and place
	Attr     string  // "role", "match.cn", "session.settings"; "": the rule as a whole
	Summary  string  // a few words
	Detail   string  // a sentence that says what to write instead

	// Missing is set where something is not written at all, Relative where rules were compared:
	// both may only follow from another error.
	Missing, Relative bool
}

// String is `pgsignet.hcl:84: error: map "staff": summary: detail`.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s %q: %s: %s", f.Rule.File, f.Rule.Line, f.Severity, f.Rule.Kind, f.Rule.Name, f.Summary, f.Detail)
}

// CompileError is why Compile refuses. Findings also holds the warnings.
type CompileError struct{ Findings []Finding }

// Error lists the errors, a line each.
func (e *CompileError) Error() string {
	var lines []string
	for _, f := range e.Findings {
		if f.Severity == Error {
			lines = append(lines, f.String())
		}
	}
	return strings.Join(lines, "\n")
}

// fail notes an error about rule i.
func (k *compiler) fail(i int, attr, summary, format string, args ...any) {
	k.note(Error, i, attr, summary, format, args...)
}

// warn notes a warning about rule i.
func (k *compiler) warn(i int, attr, summary, format string, args ...any) {
	k.note(Warning, i, attr, summary, format, args...)
}

// missing notes that rule i lacks something.
func (k *compiler) missing(i int, attr, summary, format string, args ...any) {
	k.note(Error, i, attr, summary, format, args...).Missing = true
}

func (k *compiler) note(s Severity, i int, attr, summary, format string, args ...any) *Finding {
	k.findings = append(k.findings, Finding{Severity: s, Index: i, Rule: k.config.Rules[i].Ref(),
		Attr: attr, Summary: summary, Detail: fmt.Sprintf(format, args...)})
	return &k.findings[len(k.findings)-1]
}
