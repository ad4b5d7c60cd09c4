package sqllex

import "strings"

// masked is what a password becomes.
const masked = "'***'"

// maskDepth is how deep strings within strings are searched for statements with passwords.
const maskDepth = 4

// MaskPasswords replaces the passwords of a text by '***' and reports whether there were any:
//
//   - the string behind PASSWORD, or behind any name that ends so: roles, and the options of user
//     mappings, servers and subscriptions
//   - what stands behind IDENTIFIED BY, which PostgreSQL refuses and people type all the same
//   - password=… in a connection string, and user:password@ in a connection URI, in any string
//   - the strings that format or || put behind one that ends so, or has a place for it there
//   - all of it inside other strings: the body of a DO, a function, an EXECUTE
//
// Where it replaces part of a string, the string comes back in plain quotes. A text without
// passwords comes back as it is, without allocation where nothing looks like one.
func MaskPasswords(sql string) (string, bool) { return mask(sql, maskDepth) }

// mask reads the text under both settings of standard_conforming_strings where that matters: what
// is a password under either is masked.
func mask(sql string, depth int) (string, bool) {
	if depth == 0 || !mayHoldPassword(sql) {
		return sql, false
	}
	clean, found, ambiguous := maskWith(Lexer{sql: sql}, depth)
	if !ambiguous {
		return clean, found
	}
	first, foundFirst, _ := maskWith(Lexer{sql: sql, escapes: true}, depth)
	clean, found, _ = maskWith(Lexer{sql: first}, depth)
	return clean, found || foundFirst
}

// maskWith is mask under one setting; ambiguous says that strings end elsewhere under the other.
func maskWith(l Lexer, depth int) (clean string, found, ambiguous bool) {
	var out strings.Builder
	copied := 0
	expected := false
	var id identified
	var parts built
	for t := l.Next(); t.Kind != EOF; t = l.Next() {
		replacement := ""
		part := parts.next(&l, t)
		switch {
		case id.next(&l, t), part:
			replacement = masked
		case t.Kind != String:
		case expected:
			replacement = masked
		default:
			replacement = maskString(&l, t, depth)
		}
		if replacement != "" {
			out.WriteString(l.sql[copied:t.Start])
			out.WriteString(replacement)
			copied = t.End
		}
		expected = namesPassword(&l, t)
	}
	if copied == 0 {
		return l.sql, false, l.ambiguous
	}
	out.WriteString(l.sql[copied:])
	return out.String(), true, l.ambiguous
}

// identified follows IDENTIFIED [WITH name] BY password, as other databases have it.
type identified uint8

const (
	identifiedNone identified = iota
	identifiedWord            // IDENTIFIED
	identifiedWith            // IDENTIFIED WITH, and what follows that
	identifiedBy              // IDENTIFIED BY: the next is the password, in quotes or not
	identifiedText            // the next is, if it is a string
)

// next takes the next token and reports whether it is the password.
func (s *identified) next(l *Lexer, t Token) bool {
	was := *s
	*s = identifiedNone
	name := ""
	if t.Kind == Ident {
		name = l.Text(t)
	}
	is := func(word string) bool { return strings.EqualFold(name, word) }
	switch {
	case is("identified"):
		*s = identifiedWord
	case was == identifiedNone:
	case was == identifiedWord && is("by"):
		*s = identifiedBy
	case was == identifiedBy && (is("password") || is("values")), was == identifiedWith && (is("by") || is("as") || is("using")):
		*s = identifiedText
	case was == identifiedWord && is("with"), was == identifiedWith && (t.Kind == Ident || t.Kind == QuotedIdent || t.Kind == String):
		*s = identifiedWith
	case was == identifiedText:
		return t.Kind == String
	case was == identifiedBy:
		return t.Kind == String || t.Kind == Ident || t.Kind == QuotedIdent || t.Kind == Number
	}
	return false
}

// mayHoldPassword is a quick look that misses nothing: the word, or spellings that may yield it. It
// reads every recorded text, so it goes over it once.
func mayHoldPassword(sql string) bool {
	for i := range len(sql) {
		if !telling[sql[i]] {
			continue
		}
		switch rest := sql[i:]; rest[0] {
		case 'p', 'P':
			if len(rest) >= len("passw") && strings.EqualFold(rest[:len("passw")], "passw") {
				return true
			}
		case 'i', 'I':
			const word = "identified"
			if len(rest) >= len(word) && lower(rest[1]) == 'd' && strings.EqualFold(rest[:len(word)], word) {
				return true
			}
		case ':':
			if strings.HasPrefix(rest, "://") {
				return true
			}
		default:
			if mayDecode(rest[:min(len(rest), 2)]) {
				return true
			}
		}
	}
	return false
}

// telling holds the bytes that what mayHoldPassword looks for begins with.
var telling = [256]bool{'p': true, 'P': true, 'i': true, 'I': true, ':': true, '\\': true, '&': true}

// namesPassword reports whether a string behind t is a password.
func namesPassword(l *Lexer, t Token) bool {
	if t.Kind != Ident && t.Kind != QuotedIdent {
		return false
	}
	name := l.Name(t)
	return hasSuffixFold(name, "password") || hasSuffixFold(name, "passwd")
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// maskString returns the literal t with the passwords inside it masked, "" if it has none. A plain
// string with backslashes, whose value depends on standard_conforming_strings, is masked whole.
func maskString(l *Lexer, t Token, depth int) string {
	if l.dependsOnSetting(t) {
		for _, t.form = range []form{plain, escaped} {
			if _, found := maskValue(l.Value(t), depth); found {
				return masked
			}
		}
		return ""
	}
	clean, found := maskValue(l.Value(t), depth)
	if !found {
		return ""
	}
	if t.form == dollar {
		tag := l.sql[t.Start:t.open]
		return tag + clean + tag
	}
	return quote(clean)
}

// dependsOnSetting reports whether t is a '…' or N'…' with a backslash.
func (l *Lexer) dependsOnSetting(t Token) bool {
	switch l.sql[t.Start] {
	case '\'', 'n', 'N':
		return strings.IndexByte(l.Text(t), '\\') >= 0
	}
	return false
}

func maskValue(value string, depth int) (clean string, found bool) {
	if !mayHoldPassword(value) {
		return value, false
	}
	clean, inURI := maskURIs(value)
	clean, inConninfo := maskConninfo(clean)
	clean, inSQL := mask(clean, depth-1)
	return clean, inURI || inConninfo || inSQL
}

// quote writes a string literal that reads the same under both standard_conforming_strings.
func quote(value string) string {
	literal := "'" + strings.ReplaceAll(value, "'", "''") + "'"
	if strings.IndexByte(value, '\\') < 0 {
		return literal
	}
	return "E" + strings.ReplaceAll(literal, `\`, `\\`)
}

// maskConninfo masks what follows `password =` in a libpq connection string: up to a space, or in
// quotes; backslashes escape.
func maskConninfo(s string) (string, bool) {
	var out strings.Builder
	copied := 0
	for i := 0; ; {
		start, end := passwordValue(s, i)
		if start < 0 {
			break
		}
		if start < end {
			out.WriteString(s[copied:start])
			out.WriteString("***")
			copied = end
		}
		i = max(end, start)
	}
	if copied == 0 {
		return s, false
	}
	out.WriteString(s[copied:])
	return out.String(), true
}

// passwordValue finds the next password=value at or behind i. start is -1 if there is none.
func passwordValue(s string, i int) (start, end int) {
	const key = "password"
	for ; i+len(key) < len(s); i++ {
		if lower(s[i]) != 'p' || !strings.EqualFold(s[i:i+len(key)], key) {
			continue
		}
		at := skipSpace(s, i+len(key))
		if at == len(s) || s[at] != '=' {
			continue
		}
		at = skipSpace(s, at+1)
		return at, valueEnd(s, at)
	}
	return -1, -1
}

func skipSpace(s string, i int) int {
	for i < len(s) && classes[s[i]] == space {
		i++
	}
	return i
}

// valueEnd returns where a value of a connection string, or of a URI's query, ends.
func valueEnd(s string, i int) int {
	quoted := i < len(s) && s[i] == '\''
	if quoted {
		i++
	}
	for ; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case quoted && s[i] == '\'':
			return i + 1
		case !quoted && (classes[s[i]] == space || s[i] == '&'):
			return i
		}
	}
	return len(s)
}

// maskURIs masks the password of every scheme://user:password@ in s.
func maskURIs(s string) (string, bool) {
	var out strings.Builder
	copied := 0
	for i := 0; ; {
		n := strings.Index(s[i:], "://")
		if n < 0 {
			break
		}
		i += n + len("://")
		authority := s[i:]
		if end := strings.IndexAny(authority, "/?# \t\r\n'\""); end >= 0 {
			authority = authority[:end]
		}
		at := strings.LastIndexByte(authority, '@')
		colon := strings.IndexByte(authority, ':')
		if colon < 0 || at <= colon+1 {
			continue
		}
		out.WriteString(s[copied : i+colon+1])
		out.WriteString("***")
		copied = i + at
	}
	if copied == 0 {
		return s, false
	}
	out.WriteString(s[copied:])
	return out.String(), true
}
