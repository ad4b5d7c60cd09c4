package sqllex

import (
	"iter"
	"strings"
)

// Statements returns the statements of a text in order, without the semicolons between them and
// without the space and comments around them; empty ones are left out. A semicolon inside parentheses
// or inside BEGIN ATOMIC … END separates nothing.
func Statements(sql string) iter.Seq[string] {
	return func(yield func(string) bool) {
		l := NewLexer(sql)
		var s span
		for {
			t := l.Next()
			if t.Kind != EOF && !s.ends(&l, t) {
				s.add(&l, t)
				continue
			}
			if s.tokens > 0 && !yield(sql[s.start:s.end]) {
				return
			}
			if t.Kind == EOF {
				return
			}
			s = span{}
		}
	}
}

// span is one statement as far as it is read.
type span struct {
	start, end  int
	tokens      int
	parens      int
	routine     bool // it creates a function or procedure
	begun       int  // BEGIN ATOMIC and CASE, not yet ended
	afterCreate bool
}

func (s *span) ends(l *Lexer, t Token) bool {
	return t.Kind == Punct && l.sql[t.Start] == ';' && s.parens <= 0 && s.begun == 0
}

// add counts a token as psql does when it splits what is typed.
func (s *span) add(l *Lexer, t Token) {
	if s.tokens == 0 {
		s.start = t.Start
	}
	s.end = t.End
	s.tokens++
	text := l.Text(t)
	switch t.Kind {
	case Punct:
		s.parens += strings.Count(text, "(") - strings.Count(text, ")")
	case Ident:
		s.keyword(strings.ToLower(text))
	}
}

func (s *span) keyword(word string) {
	switch word {
	case "create":
		s.afterCreate = s.tokens == 1
	case "function", "procedure":
		s.routine = s.routine || s.afterCreate && s.tokens <= 4 // CREATE OR REPLACE FUNCTION
	case "begin":
		if s.routine {
			s.begun++
		}
	case "case":
		if s.begun > 0 {
			s.begun++
		}
	case "end":
		if s.begun > 0 {
			s.begun--
		}
	}
}
