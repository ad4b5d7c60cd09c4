package sqllex

import "strings"

// harmless says whether a text is at most one statement, in plain spelling, that holds none of the words that
// Classify knows but SELECT at its beginning. Such a text has no effects: most of what applications send is
// like that, and is dismissed here in a tenth of the time.
//
// It may say no to any text.
func harmless(sql string) (ok bool, statements int) {
	end := false // a semicolon was seen
	for i := 0; i < len(sql); {
		c := sql[i]
		if classes[c] == space {
			i++
			continue
		}
		if end {
			return false, 0
		}
		next := i + 1
		switch {
		case classes[c] == letter:
			next = wordEnd(sql, i)
			if next < 0 || knows(sql[i:next]) && (statements > 0 || !strings.EqualFold(sql[i:next], "select")) {
				return false, 0
			}
		case classes[c] == digit:
			if next = wordEnd(sql, i); next < 0 || classes[sql[next-1]] == letter {
				return false, 0
			}
		case c == '\'', c == '"':
			if next = quoteEnd(sql, i); next < 0 || c == '"' && knows(sql[i+1:next-1]) {
				return false, 0
			}
		case c == ';':
			end = true
			i++
			continue
		case !alone(c, sql[next:]):
			return false, 0
		}
		i, statements = next, 1
	}
	return true, statements
}

// wordEnd is where the letters and digits end that begin at i; -1 when what follows may belong to them.
func wordEnd(sql string, i int) int {
	for ; i < len(sql); i++ {
		switch c := sql[i]; {
		case c >= 0x80, c == '$', c == '\'', c == '"':
			return -1
		case classes[c] != letter && classes[c] != digit:
			return i
		}
	}
	return i
}

// quoteEnd is where the quoted token ends that begins at i; -1 when it is not a plain one.
func quoteEnd(sql string, i int) int {
	quote := sql[i]
	for i++; i < len(sql); i++ {
		switch c := sql[i]; {
		case c == quote && (i+1 == len(sql) || sql[i+1] != quote):
			return i + 1
		case c == quote, c == '\\', c >= 0x80, c == 0:
			return -1
		}
	}
	return -1
}

// alone says whether a character stands for itself before rest: it begins no comment, no dollar quote, no U&.
func alone(c byte, rest string) bool {
	switch c {
	case '(', ')', ',', '=', '*', '<', '>', '+', '.', '[', ']', ':', '%', '|', '!':
		return true
	case '-':
		return rest == "" || rest[0] != '-'
	case '/':
		return rest == "" || rest[0] != '*'
	case '$':
		return rest != "" && classes[rest[0]] == digit
	}
	return false
}

// knows says whether Classify knows a word or name.
func knows(word string) bool {
	if !candidate(word) {
		return false
	}
	var buf [maxName]byte
	folded := buf[:min(len(word), maxName)]
	for i := range folded {
		folded[i] = lower(word[i])
	}
	return lookup(folded) != unknown
}
