package hclfile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// maxConfDepth is how deep files may include each other: CONF_FILE_START_DEPTH and
// CONF_FILE_MAX_DEPTH in PostgreSQL's conffiles.h.
const maxConfDepth = 10

// maxReads bounds how many files an import reads, each time that one is named counted.
const maxReads = 1000

// confToken is a word of pg_hba.conf or pg_ident.conf.
type confToken struct {
	text   string
	quoted bool // began with a quote, so it is no keyword and no @file
}

// keyword reports an unquoted word that PostgreSQL gives a meaning.
func (t confToken) keyword(word string) bool { return !t.quoted && t.text == word }

// confLine is a line that is not empty: each field holds the words between its commas.
type confLine struct {
	file   string
	line   int // the first, of several joined by backslashes
	raw    string
	fields [][]confToken
}

// confReader reads such files as PostgreSQL's hba.c does, and collects what PostgreSQL would refuse
// them for.
type confReader struct {
	config   ImportConfig
	lines    []confLine
	problems []ImportNote
	reads    int
}

func (r *confReader) problem(file string, line int, format string, args ...any) {
	r.problems = append(r.problems, ImportNote{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// read appends the lines of a file, and of those that it includes.
func (r *confReader) read(path, from string, at, depth int) {
	for _, l := range r.logical(path, from, at, depth) {
		line := confLine{file: path, line: l.line, raw: l.text}
		rest := l.text
		for {
			field, ok := r.field(&rest, path, l.line, depth)
			if !ok {
				break
			}
			line.fields = append(line.fields, field)
		}
		if len(line.fields) > 0 && !r.include(&line, depth) {
			r.lines = append(r.lines, line)
		}
	}
}

// logicalLine is a line with those that a backslash joins to it.
type logicalLine struct {
	line int
	text string
}

// logical reads a file and joins its lines. from and at are where the file is named.
func (r *confReader) logical(path, from string, at, depth int) []logicalLine {
	if r.reads++; depth > maxConfDepth || r.reads > maxReads {
		r.problem(from, at, "files include each other more than %d deep, or %d times", maxConfDepth, maxReads)
		return nil
	}
	data, err := r.config.Read(path)
	if err != nil {
		r.problem(from, at, "%v", err)
		return nil
	}
	if strings.ContainsRune(string(data), 0) {
		r.problem(path, 1, "there is a zero byte in it")
		return nil
	}
	return joinLines(string(data))
}

// joinLines joins lines as tokenize_auth_file does: a backslash at the end goes on, but not one
// that stands alone on a line that continues another.
func joinLines(data string) []logicalLine {
	var out []logicalLine
	text, first, joined := "", 0, 0
	for i, line := range strings.Split(strings.TrimSuffix(data, "\n"), "\n") {
		if first == 0 {
			first = i + 1
		}
		text += strings.TrimRight(line, "\r\n")
		if len(text) > joined && strings.HasSuffix(text, `\`) {
			text = text[:len(text)-1]
			joined = len(text)
			continue
		}
		out = append(out, logicalLine{first, text})
		text, first, joined = "", 0, 0
	}
	if first > 0 {
		out = append(out, logicalLine{first, text})
	}
	return out
}

// field reads words up to one that no comma follows, as next_field_expand does.
func (r *confReader) field(rest *string, path string, line, depth int) ([]confToken, bool) {
	var words []confToken
	any := false
	for {
		word, comma, ok := nextToken(rest)
		if !ok {
			return words, any
		}
		any = true
		if !word.quoted && strings.HasPrefix(word.text, "@") && len(word.text) > 1 {
			words = append(words, r.list(relativeTo(path, word.text[1:]), path, line, depth+1)...)
		} else {
			words = append(words, word)
		}
		if !comma {
			return words, true
		}
	}
}

// list reads the words of an @file.
func (r *confReader) list(path, from string, at, depth int) []confToken {
	var words []confToken
	for _, l := range r.logical(path, from, at, depth) {
		rest := l.text
		for {
			field, ok := r.field(&rest, path, l.line, depth)
			if !ok {
				break
			}
			words = append(words, field...)
		}
	}
	return words
}

// nextToken cuts the next word off a line, as next_token in hba.c does. Quotes may begin and end
// inside a word; two of them inside quotes are one.
func nextToken(rest *string) (word confToken, comma, ok bool) {
	s := strings.TrimLeft(*rest, " \t\r,")
	var b strings.Builder
	inQuote, wasQuote, sawQuote := false, false, false
	i := 0
	for ; i < len(s); i++ {
		c := s[i]
		if (c == ' ' || c == '\t' || c == '\r') && !inQuote {
			break
		}
		if c == '#' && !inQuote {
			i = len(s)
			break
		}
		if c == ',' && !inQuote {
			comma = true
			i++
			break
		}
		if c != '"' || wasQuote {
			b.WriteByte(c)
		}
		if inQuote && c == '"' {
			wasQuote = !wasQuote
		} else {
			wasQuote = false
		}
		if c == '"' {
			inQuote = !inQuote
			sawQuote = true
			if b.Len() == 0 {
				word.quoted = true
			}
		}
	}
	*rest = s[i:]
	word.text = b.String()
	return word, comma, sawQuote || b.Len() > 0
}

// include follows the directives of PostgreSQL 16. No other line has two fields.
func (r *confReader) include(l *confLine, depth int) bool {
	if len(l.fields) != 2 || len(l.fields[0]) == 0 || len(l.fields[1]) == 0 {
		return false
	}
	path := relativeTo(l.file, l.fields[1][0].text)
	switch l.fields[0][0].text {
	case "include":
		r.read(path, l.file, l.line, depth+1)
	case "include_if_exists":
		if _, err := r.config.Read(path); err == nil {
			r.read(path, l.file, l.line, depth+1)
		}
	case "include_dir":
		r.includeDir(path, l, depth)
	default:
		return false
	}
	return true
}

// includeDir reads a directory's *.conf in name order.
func (r *confReader) includeDir(dir string, l *confLine, depth int) {
	names, err := r.config.List(dir)
	if err != nil {
		r.problem(l.file, l.line, "%v", err)
		return
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasSuffix(name, ".conf") && !strings.HasPrefix(name, ".") {
			r.read(filepath.Join(dir, name), l.file, l.line, depth+1)
		}
	}
}

func relativeTo(file, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}
