// Package sqllex reads SQL text as PostgreSQL's scanner does, and says three things about it:
// what it leaves behind in a session (Classify), what it looks like without its literals
// (Fingerprint), and how it reads without passwords (MaskPasswords).
//
// It does not parse: no syntax tree, no catalog. Where tokens alone cannot tell, it answers with
// the effect that does less harm if it is wrong.
package sqllex

import "strings"

// Kind is the kind of a token.
type Kind uint8

// The kinds of tokens. Whatever PostgreSQL has no token for is Punct.
const (
	EOF         Kind = iota
	Ident            // identifier or keyword without quotes
	QuotedIdent      // "…", U&"…" with its UESCAPE clause
	String           // '…', E'…', U&'…', B'…', X'…', N'…', $tag$…$tag$; with continuations
	Number           // 1, 1.5e3, 0x1f, 1_000
	Param            // $1
	Operator         // <=, ||, -
	Punct            // ( ) [ ] , ; . : and the rest, one character each
)

// form is how a quoted token reads its body.
type form uint8

const (
	plain   form = iota // quotes doubled; backslashes as standard_conforming_strings says
	escaped             // E: backslashes escape
	unicode             // U&: \XXXX, \+XXXXXX
	bits                // B and X
	dollar              // nothing is special
)

// Token is a piece of the text, [Start, End). It does not hold the text.
type Token struct {
	Kind       Kind
	form       form
	escape     byte // of U&, a backslash unless UESCAPE says otherwise
	Start, End int
	open       int // where the body of a quoted token begins
	close      int // where it ends, continuations included
}

// Lexer returns the tokens of one text. The zero value has no text.
type Lexer struct {
	sql string
	pos int

	// escapes is standard_conforming_strings = off: backslashes escape in '…' too.
	escapes bool

	slashes   bool // a '…' holds a backslash, so it has another value with the other setting
	ambiguous bool // a '…' would end elsewhere with the other setting
	broken    bool // a string, identifier or comment is not terminated
}

// NewLexer returns a lexer for sql under standard_conforming_strings = on, PostgreSQL's default.
func NewLexer(sql string) Lexer { return Lexer{sql: sql} }

// Text returns the token as it is written.
func (l *Lexer) Text(t Token) string { return l.sql[t.Start:t.End] }

// Byte classes. Letters include every byte above 0x7f.
const (
	other = iota
	space
	letter
	digit
	operator
)

var classes = func() (table [256]uint8) {
	for c := range table {
		switch b := byte(c); {
		case strings.IndexByte(" \t\n\r\f\v", b) >= 0:
			table[c] = space
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', b == '_', b >= 0x80:
			table[c] = letter
		case '0' <= b && b <= '9':
			table[c] = digit
		case strings.IndexByte("~!@#^&|`?+-*/%<>=", b) >= 0:
			table[c] = operator
		}
	}
	return table
}()

// inWord are the bytes of which an identifier consists behind its first one.
var inWord = func() (table [256]bool) {
	for c, class := range classes {
		table[c] = class == letter || class == digit || c == '$'
	}
	return table
}()

// at returns the byte at i, or 0 behind the end; SQL text holds no NUL.
func (l *Lexer) at(i int) byte {
	if i < len(l.sql) {
		return l.sql[i]
	}
	return 0
}

// Next returns the next token; at the end, EOF again and again.
func (l *Lexer) Next() Token {
	l.skip()
	start := l.pos
	if start >= len(l.sql) {
		return Token{Start: start, End: start}
	}
	c := l.sql[start]
	switch classes[c] {
	case letter:
		return l.word(start, c)
	case digit:
		return l.number(start)
	case operator:
		return l.operator(start)
	}
	switch c {
	case '\'':
		return l.quoted(String, plain, start, start)
	case '"':
		return l.quoted(QuotedIdent, plain, start, start)
	case '$':
		return l.dollar(start)
	case '.':
		if classes[l.at(start+1)] == digit {
			return l.number(start)
		}
	}
	return l.token(Punct, start, start+1)
}

func (l *Lexer) token(kind Kind, start, end int) Token {
	l.pos = end
	return Token{Kind: kind, Start: start, End: end}
}

// skip passes over spaces and comments.
func (l *Lexer) skip() {
	for l.pos < len(l.sql) {
		c := l.sql[l.pos]
		switch {
		case classes[c] == space:
			l.pos++
		case c == '-' && l.at(l.pos+1) == '-':
			l.pos = l.lineEnd(l.pos)
		case c == '/' && l.at(l.pos+1) == '*':
			l.comment()
		default:
			return
		}
	}
}

// lineEnd returns where the line that i is in ends, before its line break.
func (l *Lexer) lineEnd(i int) int {
	for i < len(l.sql) && l.sql[i] != '\n' && l.sql[i] != '\r' {
		i++
	}
	return i
}

// comment passes over /* … */, which nest.
func (l *Lexer) comment() {
	depth := 0
	for l.pos < len(l.sql) {
		switch pair := l.sql[l.pos:min(l.pos+2, len(l.sql))]; pair {
		case "/*":
			depth++
			l.pos += 2
		case "*/":
			depth--
			l.pos += 2
			if depth == 0 {
				return
			}
		default:
			l.pos++
		}
	}
	l.broken = true
}

// word reads an identifier, or a string or identifier whose prefix is a letter.
func (l *Lexer) word(start int, c byte) Token {
	next := l.at(start + 1)
	if next == '\'' {
		switch c {
		case 'e', 'E':
			return l.quoted(String, escaped, start, start+1)
		case 'b', 'B', 'x', 'X':
			return l.quoted(String, bits, start, start+1)
		case 'n', 'N':
			return l.quoted(String, plain, start, start+1)
		}
	}
	if next == '&' && (c == 'u' || c == 'U') {
		switch l.at(start + 2) {
		case '\'':
			return l.uescape(l.quoted(String, unicode, start, start+2))
		case '"':
			return l.uescape(l.quoted(QuotedIdent, unicode, start, start+2))
		}
	}
	end := start + 1
	for end < len(l.sql) && inWord[l.sql[end]] {
		end++
	}
	return l.token(Ident, start, end)
}

// number reads digits with an optional fraction and exponent. Letters behind it are another token:
// PostgreSQL before 15 took `1from` for two.
func (l *Lexer) number(start int) Token {
	if end := l.radix(start); end > 0 {
		return l.token(Number, start, end)
	}
	end := l.digits(start)
	if l.at(end) == '.' && l.at(end+1) != '.' {
		end = l.digits(end + 1)
	}
	if c := l.at(end); c == 'e' || c == 'E' {
		exponent := end + 1
		if sign := l.at(exponent); sign == '+' || sign == '-' {
			exponent++
		}
		if classes[l.at(exponent)] == digit {
			end = l.digits(exponent)
		}
	}
	return l.token(Number, start, end)
}

func (l *Lexer) digits(i int) int {
	for classes[l.at(i)] == digit || l.at(i) == '_' && classes[l.at(i+1)] == digit {
		i++
	}
	return i
}

// radix returns where a 0x, 0o or 0b number of PostgreSQL 16 ends, 0 if there is none.
func (l *Lexer) radix(start int) int {
	if l.at(start) != '0' || strings.IndexByte("xXoObB", l.at(start+1)) < 0 {
		return 0
	}
	end := start + 2
	for hex(l.at(end)) >= 0 || l.at(end) == '_' {
		end++
	}
	if end == start+2 {
		return 0
	}
	return end
}

// operator reads the longest run of operator characters that is no comment. As in PostgreSQL, a
// trailing + or - is another token unless the operator has a character that plain arithmetic lacks.
func (l *Lexer) operator(start int) Token {
	end := start
	special := false
	for end < len(l.sql) && classes[l.sql[end]] == operator && !l.comments(end) {
		special = special || strings.IndexByte("~!@#^&|`?%", l.sql[end]) >= 0
		end++
	}
	for !special && end > start+1 && (l.sql[end-1] == '+' || l.sql[end-1] == '-') {
		end--
	}
	return l.token(Operator, start, end)
}

// comments reports whether a comment begins at i.
func (l *Lexer) comments(i int) bool {
	c, next := l.sql[i], l.at(i+1)
	return c == '-' && next == '-' || c == '/' && next == '*'
}

// dollar reads $1, $tag$…$tag$, or a $ that is neither.
func (l *Lexer) dollar(start int) Token {
	end := start + 1
	if classes[l.at(end)] == digit {
		for classes[l.at(end)] == digit {
			end++
		}
		return l.token(Param, start, end)
	}
	if classes[l.at(end)] == letter {
		for classes[l.at(end)] == letter || classes[l.at(end)] == digit {
			end++
		}
	}
	if l.at(end) != '$' {
		return l.token(Punct, start, start+1)
	}
	end++
	tag := l.sql[start:end]
	length := strings.Index(l.sql[end:], tag)
	t := Token{Kind: String, form: dollar, Start: start, open: end, close: end + length}
	t.End = t.close + len(tag)
	if length < 0 {
		l.broken = true
		t.close, t.End = len(l.sql), len(l.sql)
	}
	l.pos = t.End
	return t
}
