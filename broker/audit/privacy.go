package audit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// mask stands for what a pattern matched. sqllex puts the same for a password.
const mask = "'***'"

// privacy removes from statements what may not be recorded. It is safe for concurrent use.
type privacy struct {
	redact []pattern
}

// pattern is an expression with the text that each of its matches begins with: most statements do not
// have it, and need no search.
type pattern struct {
	*regexp.Regexp
	prefix string
}

func newPattern(re *regexp.Regexp) pattern {
	prefix, _ := re.LiteralPrefix()
	return pattern{re, prefix}
}

func (p *pattern) matches(s string) bool {
	return strings.Contains(s, p.prefix) && p.MatchString(s)
}

// identityToken is the form of pgsignet.token (broker/stamp): a proof of identity is never recorded,
// whoever wrote it into a statement.
var identityToken = regexp.MustCompile(`v1\.[0-9a-f]{8}\.[0-9]+\.[0-9]+\.[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]{64}`)

// newPrivacy compiles patterns (RE2, searched anywhere in a text).
func newPrivacy(patterns []string) (privacy, error) {
	p := privacy{redact: []pattern{newPattern(identityToken)}}
	for _, s := range patterns {
		re, err := regexp.Compile(s)
		if err != nil {
			return privacy{}, fmt.Errorf("redact %q: %w", s, err)
		}
		p.redact = append(p.redact, newPattern(re))
	}
	return p, nil
}

// clean is the part of a statement that had something to hide, made fit to be recorded.
type clean struct {
	text, message string
	sha256        string // of the whole text, when the caller gave it and it gives nothing away
	sum           string // as in cleanText
	params        []Value
	redacted      bool
}

// statement cleans s before it is cut or hashed: neither half a pattern at the cut nor a hash that can
// be tried offline may give a secret away.
func (p privacy) statement(s *Stmt) clean { return p.rest(s, p.text(s)) }

// cleanText is a statement's text as it may be recorded.
type cleanText struct {
	text             string
	masked, redacted bool   // something was removed: a password, anything
	sum              string // SHA-256 in hex of a long text; "": not computed
}

func (p privacy) text(s *Stmt) (t cleanText) {
	if s.FingerprintOnly {
		t.text, t.redacted = sqllex.Fingerprint(s.Text), true
		return t
	}
	t.text, t.masked = sqllex.MaskPasswords(s.Text)
	t.redacted = t.masked
	t.text = p.clean(t.text, &t.redacted)
	return t
}

// rest cleans what is not the text of s; t is that.
func (p privacy) rest(s *Stmt, t cleanText) clean {
	c := clean{text: t.text, redacted: t.redacted, sum: t.sum}
	if s.FingerprintOnly { // what the server says may quote a literal too
		return c
	}
	c.sha256 = s.TextSHA256
	if !t.masked { // a syntax error quotes what stands where the password should
		c.message = p.clean(s.Message, &c.redacted)
	}
	c.params = p.values(s.Params, &c.redacted)
	if c.redacted {
		c.sha256 = ""
	}
	return c
}

// clean replaces every match of a pattern in s.
func (p privacy) clean(s string, changed *bool) string {
	for i := range p.redact {
		re := &p.redact[i]
		if re.matches(s) {
			s, *changed = re.ReplaceAllLiteralString(s, mask), true
		}
	}
	return s
}

// requested takes identity tokens out of start-up parameters.
func (p privacy) requested(r *Requested) *Requested {
	if r == nil {
		return nil
	}
	out := r
	for i, pair := range r.Params {
		if !identityToken.MatchString(pair.Value) {
			continue
		}
		if out == r {
			clean := *r
			clean.Params = slices.Clone(r.Params)
			out = &clean
		}
		out.Params[i].Value = identityToken.ReplaceAllLiteralString(pair.Value, mask)
	}
	return out
}

// values cleans parameters; the slice given is not changed.
func (p privacy) values(vs []Value, changed *bool) []Value {
	out := vs
	for i := range vs {
		for k := range p.redact {
			re := &p.redact[k]
			if !re.Match(out[i].Bytes) {
				continue
			}
			if &out[0] == &vs[0] {
				out = slices.Clone(vs)
			}
			out[i].Bytes, *changed = re.ReplaceAllLiteral(out[i].Bytes, []byte(mask)), true
		}
	}
	return out
}
