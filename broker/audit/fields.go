package audit

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// visit calls f for every scalar of a line that is a field of the line itself (group "") or of one of
// its groups, and for each element of a list of strings in a group. It knows our lines, not JSON at
// large: it allocates nothing, and stops at the first thing that is no such line. Strings are given
// as they stand, escapes and all.
//
// encoding/json takes ten times as long, and a gigabyte is to be searched in seconds.
func visit(text []byte, f func(group, key, raw []byte)) {
	s := scanner{b: text}
	if !s.eat('{') && !s.eat(',') {
		return
	}
	s.object(nil, 0, f)
}

// fieldsOf walks the fields at the front of rest, which begins with a comma as a head's does, up to the
// first group or list, and returns what is from there on, comma first: nil when nothing is.
func fieldsOf(rest []byte, f func(key, raw []byte)) []byte {
	s := scanner{b: rest}
	for {
		from := s.i
		if !s.eat(',') || !s.eat('"') {
			return nil
		}
		key, ok := s.key()
		if !ok || !s.eat(':') {
			return nil
		}
		if s.i < len(rest) && (rest[s.i] == '{' || rest[s.i] == '[') {
			return rest[from:]
		}
		var raw []byte
		if s.eat('"') {
			raw, ok = s.str()
		} else {
			raw = s.plain()
			ok = len(raw) > 0
		}
		if !ok {
			return nil
		}
		f(key, raw)
	}
}

// scanner walks the bytes of one line.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) eat(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// str reads a string whose opening quote was eaten.
func (s *scanner) str() ([]byte, bool) {
	start := s.i
	for {
		n := bytes.IndexByte(s.b[s.i:], '"')
		if n < 0 {
			return nil, false
		}
		s.i += n + 1
		if n == 0 || s.b[s.i-2] != '\\' || !escaped(s.b[start:s.i-1]) {
			return s.b[start : s.i-1], true
		}
	}
}

// key reads the key of a field whose opening quote was eaten: ours are short and plain.
func (s *scanner) key() ([]byte, bool) {
	for i := s.i; i < len(s.b); i++ {
		switch s.b[i] {
		case '"':
			key := s.b[s.i:i]
			s.i = i + 1
			return key, true
		case '\\':
			return s.str()
		}
	}
	return nil, false
}

// escaped reports whether b ends in an odd number of backslashes: the quote behind it is text.
func escaped(b []byte) bool {
	n := 0
	for n < len(b) && b[len(b)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// maxDepth is deeper than any line of ours.
const maxDepth = 8

// object walks the fields of an object whose brace was eaten.
func (s *scanner) object(group []byte, depth int, f func(group, key, raw []byte)) bool {
	if s.eat('}') {
		return true
	}
	for s.eat('"') {
		key, ok := s.key()
		if !ok || !s.eat(':') || !s.value(group, key, depth, f) {
			return false
		}
		if s.eat(',') {
			continue
		}
		return s.eat('}')
	}
	return false
}

// value walks one value; only fields up to the first level of groups are given to f.
func (s *scanner) value(group, key []byte, depth int, f func(group, key, raw []byte)) bool {
	switch {
	case depth > maxDepth:
		return false
	case s.eat('"'):
		raw, ok := s.str()
		if ok && depth <= 1 {
			f(group, key, raw)
		}
		return ok
	case s.eat('{'):
		if depth == 0 {
			group = key
		}
		return s.object(group, depth+1, f)
	case s.eat('['):
		return s.list(group, key, depth, f)
	}
	raw := s.plain()
	if len(raw) > 0 && depth <= 1 {
		f(group, key, raw)
	}
	return len(raw) > 0
}

// list walks a list whose bracket was eaten; its elements are given as the list's field.
func (s *scanner) list(group, key []byte, depth int, f func(group, key, raw []byte)) bool {
	if s.eat(']') {
		return true
	}
	for {
		if !s.value(group, key, depth, f) {
			return false
		}
		if s.eat(',') {
			continue
		}
		return s.eat(']')
	}
}

// plain reads a number, true, false or null.
func (s *scanner) plain() []byte {
	start := s.i
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ',', '}', ']', '"', '{', '[', ':':
			return s.b[start:s.i]
		}
		s.i++
	}
	return s.b[start:s.i]
}

// unquote is the text of a string that stands as raw in a line.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	var s string
	quoted := append(append([]byte{'"'}, raw...), '"')
	if json.Unmarshal(quoted, &s) != nil {
		return string(raw)
	}
	return s
}

// quoteRaw is how s stands in a line, between the quotes.
func quoteRaw(s string) []byte {
	q := appendQuoted(nil, s)
	return q[1 : len(q)-1]
}

// number is the integer that stands as raw, 0 when it is none.
func number(raw []byte) int64 {
	n, _ := strconv.ParseInt(string(raw), 10, 64)
	return n
}
