package hclfile

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// controlEscapes are the escapes that stand for one control character.
var controlEscapes = map[byte]byte{'a': 7, 'b': 8, 'e': 27, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11}

// escape reads a backslash and what follows, outside [...].
func (p *areParser) escape() (*areNode, error) {
	if p.at+1 >= len(p.src) {
		return nil, areInvalid("a backslash at the end")
	}
	c := p.src[p.at+1]
	switch {
	case strings.IndexByte("dswDSW", c) >= 0:
		p.at += 2
		p.doubt(`\` + string(c))
		return &areNode{op: areClass, text: `\` + string(c)}, nil
	case c == 'A':
		p.at += 2
		return &areNode{op: areBegin}, nil
	case strings.IndexByte("mMyYZ", c) >= 0:
		return nil, areUnsupported(`RE2 has no \%c (T6)`, c)
	case c >= '1' && c <= '9':
		return nil, areUnsupported(`RE2 has no back-reference \%c (T6)`, c)
	}
	text, err := p.character()
	if err != nil {
		return nil, err
	}
	return &areNode{op: areLiteral, text: text}, nil
}

// character reads an escape that stands for one character.
func (p *areParser) character() (string, error) {
	rest := p.src[p.at+1:]
	if rest == "" {
		return "", areInvalid("a backslash at the end")
	}
	c := rest[0]
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case r == utf8.RuneError:
		return "", areUnsupported("it is not UTF-8")
	case !isAlnum(c):
		p.at += 1 + size
		return rest[:size], nil
	case controlEscapes[c] != 0:
		p.at += 2
		return string(rune(controlEscapes[c])), nil
	case c == 'B':
		p.at += 2
		return `\`, nil
	case c == 'c' && len(rest) > 1:
		p.at += 3
		return string(rune(rest[1] & 0x1f)), nil
	}
	return p.number(c, rest[1:])
}

// number reads \uXXXX, \UXXXXXXXX and \xX...; octal is left out.
func (p *areParser) number(c byte, rest string) (string, error) {
	digits := map[byte]int{'u': 4, 'U': 8, 'x': len(rest)}[c]
	if digits == 0 {
		if isDigit(c) {
			return "", areUnsupported(`an octal number \%c`, c)
		}
		return "", areInvalid(`there is no \%c`, c)
	}
	n := 0
	for n < min(digits, len(rest)) && strings.IndexByte("0123456789abcdefABCDEF", rest[n]) >= 0 {
		n++
	}
	v, err := strconv.ParseUint(rest[:n], 16, 32)
	switch {
	case err != nil || n == 0 || c != 'x' && n < digits:
		return "", areInvalid(`\%c needs hexadecimal digits`, c)
	case v == 0 || v >= utf8.RuneSelf:
		return "", areUnsupported(`\%c%s is not an ASCII character (T5)`, c, rest[:n])
	}
	p.at += 2 + n
	return string(rune(v)), nil
}

func isAlnum(c byte) bool {
	return isDigit(c) || isLower(c) || c >= 'A' && c <= 'Z'
}

// classNames are the classes that PostgreSQL and RE2 share. All are ASCII: PostgreSQL reads
// pg_ident.conf in the C locale.
var classNames = []string{"alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"}

// bracket reads [...].
func (p *areParser) bracket() (*areNode, error) {
	for _, edge := range []string{"[[:<:]]", "[[:>:]]"} {
		if strings.HasPrefix(p.src[p.at:], edge) {
			return nil, areUnsupported("RE2 has no %s (T6)", edge)
		}
	}
	p.at++
	var out strings.Builder
	out.WriteByte('[')
	if p.next("^") {
		out.WriteByte('^')
		p.doubt("[^...]")
	}
	for first := true; ; first = false {
		if p.at >= len(p.src) {
			return nil, areInvalid("a bracket [ without its ]")
		}
		if p.src[p.at] == ']' && !first {
			p.at++
			out.WriteByte(']')
			return &areNode{op: areClass, text: out.String()}, nil
		}
		item, err := p.bracketItem(first)
		if err != nil {
			return nil, err
		}
		out.WriteString(item)
	}
}

// bracketItem reads a class, a character or a range, and returns it as RE2 writes it.
func (p *areParser) bracketItem(first bool) (string, error) {
	rest := p.src[p.at:]
	switch {
	case strings.HasPrefix(rest, "[:"):
		name, _, ok := strings.Cut(rest[2:], ":]")
		if !ok || !slices.Contains(classNames, name) {
			return "", areInvalid("there is no class [:%s:]", name)
		}
		p.at += len(name) + 4
		return "[:" + name + ":]", nil
	case strings.HasPrefix(rest, "[."), strings.HasPrefix(rest, "[="):
		return "", areUnsupported("RE2 has no collating element %s...", rest[:2])
	case len(rest) > 1 && rest[0] == '\\' && strings.IndexByte("dsw", rest[1]) >= 0:
		p.at += 2
		return rest[:2], nil
	case len(rest) > 1 && rest[0] == '\\' && strings.IndexByte("DSWmMyYAZ", rest[1]) >= 0, len(rest) > 1 && rest[0] == '\\' && isDigit(rest[1]):
		return "", areUnsupported(`%s inside [...]`, rest[:2])
	case rest[0] == '-' && !first && !strings.HasPrefix(rest, "-]"):
		return "", areInvalid("a range without a beginning in [...]")
	}
	low, err := p.bracketChar()
	if err != nil {
		return "", err
	}
	rest = p.src[p.at:]
	if len(rest) < 2 || rest[0] != '-' || rest[1] == ']' {
		return classChar(low), nil
	}
	p.at++
	return p.bracketRange(low)
}

// bracketRange reads the end of a range.
func (p *areParser) bracketRange(low byte) (string, error) {
	rest := p.src[p.at:]
	if strings.HasPrefix(rest, "[:") || strings.HasPrefix(rest, "[=") || len(rest) > 1 && rest[0] == '\\' && isAlnum(rest[1]) && strings.IndexByte("dswDSW", rest[1]) >= 0 {
		return "", areInvalid("a range cannot end in a class")
	}
	if strings.HasPrefix(rest, "[.") {
		return "", areUnsupported("RE2 has no collating element [.")
	}
	high, err := p.bracketChar()
	switch {
	case err != nil:
		return "", err
	case high < low:
		return "", areInvalid("the range %c-%c ends before it begins", low, high)
	}
	return classChar(low) + "-" + classChar(high), nil
}

// bracketChar reads one character of [...]: PostgreSQL reads one byte.
func (p *areParser) bracketChar() (byte, error) {
	c := p.src[p.at]
	if c >= utf8.RuneSelf {
		return 0, areUnsupported("PostgreSQL reads non-ASCII inside [...] byte by byte (T5)")
	}
	if c != '\\' {
		p.at++
		return c, nil
	}
	text, err := p.character()
	if err != nil {
		return 0, err
	}
	if len(text) != 1 {
		return 0, areUnsupported("PostgreSQL reads non-ASCII inside [...] byte by byte (T5)")
	}
	return text[0], nil
}

// classChar writes a character inside an RE2 class.
func classChar(c byte) string {
	switch {
	case isAlnum(c):
		return string(rune(c))
	case c < ' ' || c == 0x7f:
		return fmt.Sprintf(`\x%02x`, c)
	case strings.IndexByte(`\]^-[`, c) >= 0:
		return `\` + string(rune(c))
	}
	return string(rune(c))
}

// literalChar writes a character outside a class. A dot in brackets needs no doubled backslash.
func literalChar(s string) string {
	switch {
	case len(s) == 1 && (s[0] < ' ' || s[0] == 0x7f):
		return fmt.Sprintf(`\x%02x`, s[0])
	case s == ".":
		return "[.]"
	}
	return regexp.QuoteMeta(s)
}
