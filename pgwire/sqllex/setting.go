package sqllex

import "strings"

// set is SET [SESSION | LOCAL] …. The words behind it may also be the first part of a parameter's
// name, SET local.x = 1: then a dot, an equals sign or TO follows.
func (c *classifier) set() {
	c.step()
	name, kind, local := c.token, c.word, false
	if kind == wSession || kind == wLocal {
		c.step()
		switch {
		case c.assigns():
			c.generic(name, false)
			return
		case kind == wSession && (c.word == wAuthorization || c.word == wCharacteristics):
			c.spelled(wSession, false)
			return
		}
		local = kind == wLocal
		name, kind = c.token, c.word
	}
	if c.step(); c.assigns() {
		c.generic(name, local)
		return
	}
	c.spelled(kind, local)
}

// assigns reports whether the token before the current one belongs to the name of a parameter.
func (c *classifier) assigns() bool { return c.is('.') || c.is('=') || c.word == wTo }

// spelled is a SET with words of its own; the current token is behind the first of them.
func (c *classifier) spelled(kind word, local bool) {
	switch kind {
	case wTransaction:
		c.effects.Flags |= SetTransaction
	case wConstraints:
		c.effects.Flags |= SetLocal
	case wRole:
		c.assign("role", local)
	case wSession:
		if c.word == wAuthorization {
			c.assign("session_authorization", local)
		} else {
			c.acquire(SetOther) // CHARACTERISTICS
			for _, name := range transactionDefaults {
				c.assigned(name)
			}
		}
	case wTime:
		c.step() // ZONE
		c.assign("timezone", local)
	case wXML:
		c.step() // OPTION
		c.assign("xmloption", local)
	case wNames:
		c.assign("client_encoding", local)
	case wSchema:
		c.assign("search_path", local)
	default:
		c.acquire(SetOther)
	}
}

// reset is RESET ALL, RESET name, or RESET with words of its own.
func (c *classifier) reset() {
	c.step()
	if c.word == wAll {
		c.effects.Flags |= ResetAll
		return
	}
	name, kind := c.token, c.word
	c.step()
	switch {
	case c.is('.'):
		c.generic(name, false)
	case kind == wSession:
		c.assign("session_authorization", false)
	case kind == wTime:
		c.step() // ZONE
		c.assign("timezone", false)
	case kind == wTransaction:
		c.effects.Flags |= SetTransaction
	default:
		c.assign(c.lex.Name(name), false)
	}
}

// generic reads the name of a parameter that begins with first, up to its value.
func (c *classifier) generic(first Token, local bool) {
	name := c.lex.appendName(nil, first)
	for c.is('.') {
		c.step()
		name = c.lex.appendName(append(name, '.'), c.token)
		c.step()
	}
	c.step() // = or TO
	c.assign(string(name), local)
}

// assign gives a parameter the value that begins with the current token, if any: at the end of
// the statement, and with DEFAULT, it is reset.
func (c *classifier) assign(name string, local bool) {
	name = Fold(name)
	if !c.ended() && c.word != wDefault {
		c.assigned(name)
	}
	if c.parameter(name, c.valueIsOn(), local) {
		return
	}
	switch {
	case local:
		c.effects.Flags |= SetLocal
		return
	case c.ended() || c.word == wDefault || name == "timezone" && c.word == wLocal:
		c.effects.Flags |= Reset
	default:
		c.acquire(SetLone)
	}
	c.effects.Setting = name
}

// parameter handles those that are no ordinary session state, and reports whether name was one.
// Whether the value is on matters to the read-only ones (W93): all else makes them writable.
func (c *classifier) parameter(name string, on, local bool) bool {
	switch name {
	case "role", "session_authorization":
		if local {
			c.effects.Flags |= SetLocal
		} else {
			c.acquire(Role)
		}
	case "transaction_isolation", "transaction_deferrable":
		c.effects.Flags |= SetTransaction
	case "transaction_read_only":
		c.effects.Flags |= SetTransaction
		c.readOnly(on)
	case "default_transaction_read_only":
		c.readOnly(on)
		return false
	case "seed":
		c.effects.Flags |= Seed
	default:
		return false
	}
	return true
}

func (c *classifier) readOnly(on bool) {
	if !on {
		c.effects.Flags |= ReadWrite
	}
}

// valueIsOn reports whether the current token is a literal that PostgreSQL reads as true.
func (c *classifier) valueIsOn() bool { return isOn(&c.lex, c.token) }

func isOn(l *Lexer, t Token) bool {
	text := l.Text(t)
	switch t.Kind {
	case String:
		text = l.Value(t)
	case Ident, Number:
	default:
		return false
	}
	if len(text) > len("true") {
		return false
	}
	switch text = strings.ToLower(text); text {
	case "":
		return false
	case "on", "1":
		return true
	}
	return strings.HasPrefix("true", text) || strings.HasPrefix("yes", text)
}

// lookAhead is how many tokens of a set_config call are read ahead; arguments are short, and a
// text of nested calls must not cost the square of its length.
const lookAhead = 64

// setConfig is set_config(name, value, is_local). Only literals say which parameter it is, and
// that it is local.
func (c *classifier) setConfig() {
	args, ok := callArguments(c.lex)
	local := ok && args[2].isTrue(&c.lex)
	if args[0].literal() && ok {
		name := Fold(c.lex.Value(args[0].token))
		c.assigned(name)
		if c.parameter(name, args[1].isTrue(&c.lex), local) {
			return
		}
		if name == "search_path" && !args[1].literal() {
			c.effects.Flags |= TempPath
		}
	} else {
		c.assigned(AnyName)
		c.effects.Flags |= TempPath
		if !local {
			c.acquire(Role) // it may be the role
		}
	}
	if local {
		c.effects.Flags |= SetLocal
	} else {
		c.acquire(SetOther)
	}
}

// argument is one of a call: its last token, and how many it has.
type argument struct {
	token  Token
	tokens int
}

// literal says that it is a string and nothing else.
func (a *argument) literal() bool { return a.tokens == 1 && a.token.Kind == String }

// isTrue says that it is a literal which is true. A name is none but for TRUE: t may be a column.
func (a *argument) isTrue(l *Lexer) bool {
	return a.literal() && isOn(l, a.token) || a.tokens == 1 && a.token.Kind == Ident && strings.EqualFold(l.Text(a.token), "true")
}

// callArguments reads a call's three arguments from its parenthesis on. l is a copy.
func callArguments(l Lexer) (args [3]argument, ok bool) {
	depth, n := 0, 0
	for range lookAhead {
		t := l.Next()
		if t.Kind == EOF {
			break
		}
		char := byte(0)
		if t.Kind == Punct {
			char = l.sql[t.Start]
		}
		switch {
		case char == '(' || char == '[':
			depth++
		case char == ')' || char == ']':
			depth--
		}
		switch {
		case depth == 0:
			return args, n == 2 && char == ')'
		case depth == 1 && char == '(' && n == 0 && args[0].tokens == 0:
			// the call's own
		case depth == 1 && char == ',':
			if n++; n == len(args) {
				return args, false
			}
		default:
			args[n].token = t
			args[n].tokens++
		}
	}
	return args, false
}

// Fold returns the name of a parameter as PostgreSQL compares it: it folds ASCII alone, so that É and é name
// two parameters.
func Fold(name string) string {
	for i := range len(name) {
		if lower(name[i]) != name[i] {
			folded := []byte(name)
			for ; i < len(folded); i++ {
				folded[i] = lower(folded[i])
			}
			return string(folded)
		}
	}
	return name
}

// mentionsTemp reports whether a string of the text holds the name of the temporary schema, as the
// value of search_path does that puts it first.
func mentionsTemp(sql string, escapes bool) bool {
	const name = "pg_temp"
	if !containsFold(sql, name) && !mayDecode(sql) {
		return false
	}
	l := Lexer{sql: sql, escapes: escapes}
	for t := l.Next(); t.Kind != EOF; t = l.Next() {
		if t.Kind == String && containsFold(l.Value(t), name) {
			return true
		}
	}
	return false
}

// mayDecode reports whether a string or an identifier may stand for what it does not spell.
func mayDecode(sql string) bool {
	return strings.IndexByte(sql, '\\') >= 0 || strings.Contains(sql, "&'") || strings.Contains(sql, `&"`)
}

// containsFold is strings.Contains without case, in ASCII; part is in lower case.
func containsFold(s, part string) bool {
	for i := 0; i+len(part) <= len(s); i++ {
		if lower(s[i]) == part[0] && strings.EqualFold(s[i:i+len(part)], part) {
			return true
		}
	}
	return false
}
