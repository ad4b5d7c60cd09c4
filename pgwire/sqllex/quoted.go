package sqllex

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// quoted reads a token whose opening quote is at i, and the parts that continue a string.
func (l *Lexer) quoted(kind Kind, f form, start, i int) Token {
	quote := l.sql[i]
	t := Token{Kind: kind, form: f, escape: '\\', Start: start, open: i + 1}
	if f == plain && kind == String && l.escapes {
		t.form = escaped
	}
	for {
		i = l.closing(t, i+1, quote)
		if i < 0 {
			l.broken = true
			t.close, t.End = len(l.sql), len(l.sql)
			break
		}
		t.close, t.End = i, i+1
		if quote == '"' {
			break
		}
		if i = l.continued(i + 1); i < 0 {
			break
		}
	}
	l.pos = t.End
	return t
}

// closing returns where the quote stands that ends the part which begins at i, or -1.
func (l *Lexer) closing(t Token, i int, quote byte) int {
	if t.form == escaped {
		return l.closingEscaped(i)
	}
	for ; ; i += 2 {
		n := strings.IndexByte(l.sql[i:], quote)
		if n < 0 {
			return -1
		}
		if t.form == plain && quote == '\'' {
			l.backslashes(l.sql[i : i+n])
		}
		i += n
		if l.at(i+1) != quote {
			return i
		}
	}
}

// backslashes notes what the other setting of standard_conforming_strings would make of the part
// of a string up to a quote: another value, and if their last run is odd, another end.
func (l *Lexer) backslashes(part string) {
	if strings.IndexByte(part, '\\') < 0 {
		return
	}
	l.slashes = true
	if run := len(part) - len(strings.TrimRight(part, `\`)); run%2 == 1 {
		l.ambiguous = true
	}
}

// closingEscaped is closing where a backslash makes the next byte part of the string.
func (l *Lexer) closingEscaped(i int) int {
	for ; i < len(l.sql); i++ {
		switch {
		case l.sql[i] == '\\', l.sql[i] == '\'' && l.at(i+1) == '\'':
			i++
		case l.sql[i] == '\'':
			return i
		}
	}
	return -1
}

// continued returns where the quote stands that goes on with a string which ended before i, or
// -1: only spaces and -- comments stand between, and at least one line break.
func (l *Lexer) continued(i int) int {
	broke := false
	for i < len(l.sql) {
		c := l.sql[i]
		switch {
		case classes[c] == space:
			broke = broke || c == '\n' || c == '\r'
			i++
		case c == '-' && l.at(i+1) == '-':
			i = l.lineEnd(i)
		case c == '\'' && broke:
			return i
		default:
			return -1
		}
	}
	return -1
}

// uescape takes the UESCAPE clause behind a U& token into it. What it looks at ahead is one word
// and one string: a text full of U& costs no more than another.
func (l *Lexer) uescape(t Token) Token {
	const word = "uescape"
	after := *l
	after.skip()
	rest := after.sql[after.pos:]
	if len(rest) < len(word) || !strings.EqualFold(rest[:len(word)], word) {
		return t
	}
	after.pos += len(word)
	after.skip()
	if c := after.at(after.pos); c != '\'' && c != 'e' && c != 'E' && c != '$' {
		return t // also the end of a longer word, or U&'…', which PostgreSQL does not take
	}
	clause := after.Next()
	if clause.Kind != String {
		return t
	}
	char := after.Value(clause) // E'\x21' and a '!' that '' continues are ! too
	if len(char) != 1 {
		return t
	}
	t.escape, t.End = char[0], clause.End
	l.pos = t.End
	return t
}

// Name returns an identifier as PostgreSQL stores it: folded, or decoded if it was quoted. It is
// not cut at 63 bytes.
func (l *Lexer) Name(t Token) string { return string(l.appendName(nil, t)) }

// appendName is Name without allocation where dst has room.
func (l *Lexer) appendName(dst []byte, t Token) []byte {
	if t.Kind != QuotedIdent {
		for i := t.Start; i < t.End; i++ {
			dst = append(dst, lower(l.sql[i]))
		}
		return dst
	}
	return l.appendBody(dst, t, '"')
}

// lower folds ASCII, which is all that keywords and names of PostgreSQL's own consist of.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Value returns what a string literal stands for. Bit strings come as they are written.
func (l *Lexer) Value(t Token) string {
	if t.form == dollar {
		return l.sql[t.open:t.close]
	}
	return string(l.appendBody(nil, t, '\''))
}

// appendBody decodes a quoted token part by part.
func (l *Lexer) appendBody(dst []byte, t Token, quote byte) []byte {
	for i := t.open; ; {
		end := l.closing(t, i, quote)
		if end < 0 || end > t.close {
			end = t.close // not terminated
		}
		dst = appendPart(dst, l.sql[i:end], t, quote)
		if end >= t.close {
			return dst
		}
		if i = l.continued(end + 1); i < 0 {
			return dst
		}
		i++
	}
}

// appendPart decodes the text between two quotes.
func appendPart(dst []byte, s string, t Token, quote byte) []byte {
	for i := 0; i < len(s); {
		switch {
		case s[i] == quote:
			dst = append(dst, quote) // the first of two
			i += 2
		case t.form == escaped && s[i] == '\\':
			var n int
			dst, n = appendEscape(dst, s[i+1:])
			i += 1 + n
		case t.form == unicode && s[i] == t.escape:
			var n int
			dst, n = appendUnicode(dst, s[i+1:], t.escape)
			i += 1 + n
		default:
			dst = append(dst, s[i])
			i++
		}
	}
	return dst
}

// appendEscape decodes what follows a backslash in E'…' and returns how many bytes it took.
func appendEscape(dst []byte, s string) ([]byte, int) {
	if s == "" {
		return dst, 0
	}
	if i := strings.IndexByte("bfnrt", s[0]); i >= 0 {
		return append(dst, "\b\f\n\r\t"[i]), 1
	}
	switch s[0] {
	case 'x':
		if v, n := number(s[1:], 16, 2); n > 0 {
			return append(dst, byte(v)), 1 + n
		}
	case 'u':
		return appendWide(dst, s, 4)
	case 'U':
		return appendWide(dst, s, 8)
	}
	if v, n := number(s, 8, 3); n > 0 {
		return append(dst, byte(v)), n
	}
	return append(dst, s[0]), 1
}

// appendWide decodes \uXXXX or \UXXXXXXXX; s begins with the letter.
func appendWide(dst []byte, s string, digits int) ([]byte, int) {
	v, n := number(s[1:], 16, digits)
	if n < digits {
		return append(dst, s[0]), 1
	}
	used := 1 + n
	if utf16.IsSurrogate(v) && len(s) > used+1 && s[used] == '\\' && s[used+1] == s[0] {
		if low, m := number(s[used+2:], 16, digits); m == digits {
			v, used = utf16.DecodeRune(v, low), used+2+m
		}
	}
	return utf8.AppendRune(dst, v), used
}

// appendUnicode decodes what follows the escape character of U&.
func appendUnicode(dst []byte, s string, escape byte) ([]byte, int) {
	if s != "" && s[0] == escape {
		return append(dst, escape), 1
	}
	v, n := codePoint(s)
	if n == 0 {
		return append(dst, escape), 0
	}
	if utf16.IsSurrogate(v) && len(s) > n && s[n] == escape {
		if low, m := codePoint(s[n+1:]); m > 0 {
			v, n = utf16.DecodeRune(v, low), n+1+m
		}
	}
	return utf8.AppendRune(dst, v), n
}

// codePoint reads XXXX or +XXXXXX.
func codePoint(s string) (rune, int) {
	if strings.HasPrefix(s, "+") {
		if v, n := number(s[1:], 16, 6); n == 6 {
			return v, 7
		}
		return 0, 0
	}
	if v, n := number(s, 16, 4); n == 4 {
		return v, 4
	}
	return 0, 0
}

// number reads at most limit digits to that base.
func number(s string, base, limit int) (v rune, n int) {
	for n < min(limit, len(s)) {
		d := hex(s[n])
		if d < 0 || d >= base {
			break
		}
		v = v*rune(base) + rune(d)
		n++
	}
	return v, n
}

func hex(c byte) int {
	switch c = lower(c); {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
