package sqllex

import (
	"bytes"
	"strings"
)

// Fingerprint returns what a text has in common with all that differ from it only in literals,
// space, comments and case: literals and parameters are `?`, lists and rows of them one `?`,
// identifiers are folded unless quoted. It is for people and for grouping, not to be run.
//
// It shows nothing of a literal. Where standard_conforming_strings decides what belongs to one, it
// ends in `...`.
func Fingerprint(sql string) string {
	f := fingerprint{lex: NewLexer(sql), out: make([]byte, 0, len(sql))}
	for t := f.lex.Next(); t.Kind != EOF; t = f.lex.Next() {
		f.add(t)
		if f.lex.ambiguous {
			return string(f.out) + " ..."
		}
	}
	return strings.TrimRight(string(f.out), "; ")
}

type fingerprint struct {
	lex Lexer
	out []byte

	last, prior piece // the two pieces added last
}

// piece is what the next one's space depends on.
type piece uint8

const (
	none    piece = iota
	open          // ( [
	tight         // . : and ::
	closing       // ) ]
	comma         // , ;
	name          // an identifier
	keyword       // one of operandsFollow
	literal       // ?
	sign          // + or -
	op            // any other operator
)

// operandsFollow are keywords behind which a parenthesis opens no call and a sign is a number's.
var operandsFollow = map[string]bool{
	"all": true, "and": true, "any": true, "as": true, "between": true, "by": true, "case": true, "else": true,
	"except": true, "from": true, "in": true, "intersect": true, "limit": true, "not": true, "offset": true,
	"on": true, "or": true, "over": true, "returning": true, "select": true, "set": true, "then": true,
	"union": true, "using": true, "values": true, "when": true, "where": true, "with": true,
}

func (f *fingerprint) add(t Token) {
	switch t.Kind {
	case String, Number, Param:
		f.literal()
	case Ident:
		text := strings.ToLower(f.lex.Text(t))
		kind := name
		if operandsFollow[text] {
			kind = keyword
		}
		f.put(kind, text)
	case QuotedIdent:
		f.put(name, `"`+strings.ReplaceAll(f.lex.Name(t), `"`, `""`)+`"`)
	case Operator:
		kind := op
		if text := f.lex.Text(t); text == "-" || text == "+" {
			kind = sign
		}
		f.put(kind, f.lex.Text(t))
	default:
		f.punct(f.lex.Text(t))
	}
}

func (f *fingerprint) punct(text string) {
	switch text {
	case "(", "[":
		f.put(open, text)
	case ")", "]":
		f.put(closing, text)
		f.out = dropRepeat(f.out, "(?)")
	case ",", ";":
		f.put(comma, text)
	default:
		f.put(tight, text)
	}
}

// literal adds `?`, with the sign before it if it is the number's own.
func (f *fingerprint) literal() {
	if f.last == sign && (f.prior == none || f.prior == open || f.prior == comma || f.prior == keyword || f.prior == op) {
		f.out = bytes.TrimRight(f.out[:len(f.out)-1], " ")
		f.last = f.prior
	}
	f.put(literal, "?")
	f.out = dropRepeat(f.out, "?")
}

// dropRepeat makes one of the last two items of a list if both are item.
func dropRepeat(out []byte, item string) []byte {
	if bytes.HasSuffix(out, []byte(item+", "+item)) {
		return out[:len(out)-len(item)-2]
	}
	return out
}

func (f *fingerprint) put(kind piece, text string) {
	if f.spaced(kind, text) {
		f.out = append(f.out, ' ')
	}
	f.out = append(f.out, text...)
	f.prior, f.last = f.last, kind
}

// spaced says whether a space stands before the next piece.
func (f *fingerprint) spaced(kind piece, text string) bool {
	switch {
	case f.last == none, f.last == open, f.last == tight:
		return false
	case kind == closing, kind == comma, kind == tight:
		return false
	case text == "(":
		return f.last != name
	case text == "[":
		return f.last == comma || f.last == op
	}
	return true
}
