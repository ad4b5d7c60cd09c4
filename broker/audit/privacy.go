package audit

import (
	"fmt"
	"regexp"
)

// mask replaces what may not be recorded.
const mask = "'***'"

// privacy removes from statements what may not be recorded. It is safe for concurrent use.
type privacy struct {
	redact []*regexp.Regexp
}

// newPrivacy compiles patterns (RE2, searched anywhere in a text).
func newPrivacy(patterns []string) (privacy, error) {
	var p privacy
	for _, s := range patterns {
		re, err := regexp.Compile(s)
		if err != nil {
			return privacy{}, fmt.Errorf("redact %q: %w", s, err)
		}
		p.redact = append(p.redact, re)
	}
	return p, nil
}

// clean is the part of a statement that had something to hide, made fit to be recorded.
type clean struct {
	text, message string
	params        []Value
	redacted      bool
}

// statement cleans s before it is cut or hashed, so that neither a half pattern at the cut nor a hash
// that can be tried offline gives a secret away.
func (p privacy) statement(s *Stmt) clean {
	if s == nil {
		return clean{}
	}
	c := clean{text: s.Text, message: s.Message, params: s.Params}
	c.text = p.clean(c.text, &c.redacted)
	c.message = p.clean(c.message, &c.redacted)
	c.params = p.values(c.params, &c.redacted)
	return c
}

// clean replaces every match of a pattern in s.
func (p privacy) clean(s string, changed *bool) string {
	for _, re := range p.redact {
		if re.MatchString(s) {
			s, *changed = re.ReplaceAllLiteralString(s, mask), true
		}
	}
	return s
}

// values cleans parameters; the slice given is not changed.
func (p privacy) values(vs []Value, changed *bool) []Value {
	if len(p.redact) == 0 {
		return vs
	}
	out := make([]Value, len(vs))
	for i, v := range vs {
		out[i] = v
		for _, re := range p.redact {
			if re.Match(out[i].Bytes) {
				out[i].Bytes, *changed = re.ReplaceAllLiteral(out[i].Bytes, []byte(mask)), true
			}
		}
	}
	return out
}
