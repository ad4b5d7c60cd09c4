package sqllex

import "strings"

// built follows a statement that SQL puts together out of strings: format('… PASSWORD %L', …) and
// '… password ' || quote_literal(…). The strings of the same call or chain may be the password.
type built struct {
	state builtState
	depth int // open parentheses since
}

type builtState uint8

const (
	builtNot   builtState = iota
	builtEnds             // a string has just ended in PASSWORD: `||` goes on with it
	builtChain            // behind that `||`, up to a comma, a closing parenthesis or the statement's end
	builtCall             // behind a string with PASSWORD %L, up to the end of its call
)

// next takes the next token and reports whether it is a string of such a statement.
func (b *built) next(l *Lexer, t Token) bool {
	text := ""
	if t.Kind == Punct || t.Kind == Operator {
		text = l.Text(t)
	}
	if b.state == builtEnds {
		if b.state = builtNot; text == "||" {
			b.state, b.depth = builtChain, 0
		}
	}
	if t.Kind == String && b.state == builtNot {
		value := l.Value(t)
		if b.depth = 0; t.form != dollar || strings.IndexByte(value, ';') < 0 { // else a body, whose strings are its own
			b.state = passwordToCome(value)
		}
		return false
	}
	if b.state == builtNot {
		return false
	}
	switch text {
	case "(", "[":
		b.depth++
	case ")", "]":
		if b.depth--; b.depth < 0 {
			b.state = builtNot
		}
	case ",":
		if b.depth == 0 && b.state == builtChain {
			b.state = builtNot
		}
	case ";":
		b.state = builtNot
	}
	return t.Kind == String
}

// passwordToCome says whether the text of a string leaves its password to what comes behind it: it ends in
// PASSWORD, or has a place for a value of format's there; an equals sign and an open quote may stand between.
func passwordToCome(s string) builtState {
	for i := range len(s) {
		if lower(s[i]) != 'p' {
			continue
		}
		for _, word := range [...]string{"password", "passwd"} {
			if len(s)-i < len(word) || !strings.EqualFold(s[i:i+len(word)], word) {
				continue
			}
			rest := s[i+len(word):]
			value := strings.TrimLeft(rest, " \t\r\n\f\v='\"")
			switch {
			case value == "":
				return builtEnds
			case len(value) < len(rest) && placeholder(value):
				return builtCall
			}
		}
	}
	return builtNot
}

// placeholder says whether s begins with one of format's: %L, %s, %1$L, %-10s.
func placeholder(s string) bool {
	if len(s) < 2 || s[0] != '%' {
		return false
	}
	c := lower(s[1])
	return c == 'l' || c == 's' || c == 'i' || c == '-' || c == '*' || '0' <= c && c <= '9'
}
