package admin

import (
	"strings"
	"unicode/utf8"

	"github.com/pgsignet/pgsignet/pgwire"
)

// token is one word of a command.
type token struct {
	kind byte   // 'w' a bare word, 'q' a "quoted" name, 's' a 'string', or the punctuation itself
	text string // without quotes
}

func syntaxError(text string) error {
	return &pgwire.Error{Severity: pgwire.Err, Code: pgwire.SyntaxError, Message: text, Slug: "syntax"}
}

// lex splits a text into commands, one list of tokens each. Comments and empty commands are dropped.
func lex(sql string) (commands [][]token, err error) {
	if !utf8.ValidString(sql) {
		return nil, syntaxError("command is not valid UTF-8")
	}
	var current []token
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			i++
		case strings.HasPrefix(sql[i:], "--"):
			end := strings.IndexByte(sql[i:], '\n')
			if end < 0 {
				end = len(sql) - i
			}
			i += end
		case strings.HasPrefix(sql[i:], "/*"):
			end := strings.Index(sql[i:], "*/")
			if end < 0 {
				return nil, syntaxError("unterminated comment")
			}
			i += end + 2
		case c == ';':
			commands, current = finish(commands, current), nil
			i++
		case c == '\'' || c == '"':
			text, n, ok := quoted(sql[i:])
			if !ok {
				return nil, syntaxError("unterminated quoted string")
			}
			kind := byte('s')
			if c == '"' {
				kind = 'q'
			}
			current = append(current, token{kind, text})
			i += n
		case wordByte(c):
			n := 1
			for i+n < len(sql) && wordByte(sql[i+n]) {
				n++
			}
			current = append(current, token{'w', sql[i : i+n]})
			i += n
		default:
			current = append(current, token{c, string(c)})
			i++
		}
	}
	return finish(commands, current), nil
}

func finish(commands [][]token, current []token) [][]token {
	if len(current) == 0 {
		return commands
	}
	return append(commands, current)
}

// quoted reads a string in its first byte's quotes, which are doubled inside.
func quoted(s string) (text string, n int, ok bool) {
	q := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != q {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == q {
			b.WriteByte(q)
			i++
			continue
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' ||
		c == '.' || c == '$' || c == '*' || c >= 0x80
}
