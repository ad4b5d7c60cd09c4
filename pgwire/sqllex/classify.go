package sqllex

// Classify names the effects of a text of one or more statements on its session. It looks at
// tokens only: what functions and triggers do inside stays invisible, and a name that merely looks
// like a function counts as one. Every spelling of a name counts: schema-qualified, quoted, U&"".
//
// It takes one pass, or two where the setting of standard_conforming_strings would matter: then
// both readings count. Without SET, DEALLOCATE, DROP DATABASE and names of cursors it does not
// allocate.
func Classify(sql string) Effects {
	if ok, statements := harmless(sql); ok {
		return Effects{Statements: statements}
	}
	return classify(sql)
}

func classify(sql string) Effects {
	c := classifier{lex: Lexer{sql: sql}}
	c.run()
	if !c.lex.ambiguous && !(c.lex.slashes && c.effects.Has(setting)) {
		return c.effects
	}
	other := classifier{lex: Lexer{sql: sql, escapes: true}}
	other.run()
	return merge(c.effects, other.effects)
}

// setting are the flags that depend on the values of strings.
const setting = SetLone | SetOther | SetLocal | SetTransaction | Role

// merge joins two readings of one text: what either leaves, and what both take back.
func merge(a, b Effects) Effects {
	e := a
	e.Flags = (a.Flags|b.Flags)&^releases | a.Flags&b.Flags&releases
	e.Statements = max(a.Statements, b.Statements)
	if a.Database == "" {
		e.Database = b.Database
	}
	if a.Setting != b.Setting || a.Statements != b.Statements || a.Flags != b.Flags {
		e.Setting = ""
		e.Flags &^= Reset
		if e.Has(SetLone) {
			e.Flags = e.Flags&^SetLone | SetOther
		}
	}
	if a.Name != b.Name {
		e.Name = ""
		e.Flags &^= Deallocate
	}
	if a.Cursor != b.Cursor || a.Statements != b.Statements {
		e.Cursor = ""
		e.Flags &^= Close
	}
	return e
}

// classifier walks the tokens of a text.
type classifier struct {
	lex     Lexer
	effects Effects
	buf     [maxName + 1]byte // a name being looked up

	// The current token, and the two before it as keywords.
	token        Token
	word         word // what it is; a keyword only if not quoted
	prev, before word

	// The statement the token is in.
	first    word // its first keyword
	tokens   int  // so far, the current one included
	unlockAt int  // the token count at a pg_advisory_unlock_all that begins its select list
	acquired Flags

	atomic bool // the text may hold the body of a function, BEGIN ATOMIC … END
	backTo bool // ROLLBACK TO a savepoint was seen

	search func(name string) bool // of Assigns; nil for Classify
	found  string
}

func (c *classifier) run() {
	for {
		c.next()
		if c.token.Kind == EOF {
			break
		}
		if !c.ended() {
			c.statement()
		}
		c.endStatement()
	}
	c.finish()
}

// finish draws the conclusions that need the whole text.
func (c *classifier) finish() {
	e := &c.effects
	if c.lex.broken {
		c.acquire(Opaque)
	}
	if e.Statements > 1 {
		e.Flags &^= Close
		e.Cursor = ""
		if e.Has(Rollback) || c.backTo || c.atomic {
			e.Flags &^= releases // which it may have undone, or which are the body of a function
		}
		if e.Has(SetLone | Reset) {
			e.Flags = e.Flags&^(SetLone|Reset) | SetOther
			e.Setting = ""
		}
	}
	if e.Has(SetLone | SetOther | SetLocal) {
		c.tempPath()
	}
}

// tempPath is for a text that sets something: search_path = 'pg_temp', for one. It is not replayed
// elsewhere, where nobody would know of it.
func (c *classifier) tempPath() {
	e := &c.effects
	if mentionsTemp(c.lex.sql, c.lex.escapes) {
		c.acquire(Temp)
	}
	if !e.Has(Temp) {
		return
	}
	e.Flags |= TempPath
	if e.Has(SetLone) {
		e.Flags = e.Flags&^SetLone | SetOther
		e.Setting = ""
	}
}

// next reads a token and notes what its name alone says.
func (c *classifier) next() {
	c.before, c.prev = c.prev, c.word
	c.token = c.lex.Next()
	c.tokens++
	c.word = unknown
	switch c.token.Kind {
	case Ident, QuotedIdent:
		if c.word = c.lookup(c.token); c.word != unknown {
			c.watch()
		}
	}
}

// lookup returns what an identifier is. A quoted one is never a keyword; what it stands for is no
// longer than its body, and begins with the same two letters unless one is escaped.
func (c *classifier) lookup(t Token) word {
	start, end := t.Start, t.End
	if t.Kind == QuotedIdent {
		start, end = t.open, t.close
	}
	if t.form != unicode && !candidate(c.lex.sql[start:end]) {
		return unknown
	}
	w := lookup(c.name(t))
	if t.Kind == QuotedIdent && w <= wZone {
		return unknown
	}
	return w
}

// name decodes an identifier into buf, cut as PostgreSQL cuts it.
func (c *classifier) name(t Token) []byte {
	if t.Kind == Ident {
		t.End = min(t.End, t.Start+maxName)
	}
	name := c.lex.appendName(c.buf[:0], t)
	return name[:min(len(name), maxName)]
}

// is reports whether the current token is that character.
func (c *classifier) is(char byte) bool {
	return (c.token.Kind == Punct || c.token.Kind == Operator) &&
		c.token.End == c.token.Start+1 && c.lex.sql[c.token.Start] == char
}

// ended reports whether the statement is over.
func (c *classifier) ended() bool {
	return c.token.Kind == EOF || c.token.Kind == Punct && c.lex.sql[c.token.Start] == ';'
}

// step goes to the next token, but never beyond the end of the statement.
func (c *classifier) step() {
	if !c.ended() {
		c.next()
	}
}

// rest reads on to the end of the statement.
func (c *classifier) rest() {
	for !c.ended() {
		c.next()
	}
}

// endStatement closes the books of one statement.
func (c *classifier) endStatement() {
	if c.unlockAt > 0 && c.unlockAt+3 == c.tokens && c.acquired&AdvisoryLock == 0 {
		c.effects.Flags |= UnlockAll // two tokens behind the name, the parentheses, then the end
	}
	c.first, c.tokens, c.unlockAt, c.acquired = unknown, 0, 0, 0
	c.word, c.prev = unknown, unknown
}

// acquire notes that the text leaves f, which makes earlier releases of it untrue.
func (c *classifier) acquire(f Flags) {
	c.effects.Flags = c.effects.Flags&^f.opposite() | f
	c.acquired |= f
}

// watch notes what a word means wherever it stands.
func (c *classifier) watch() {
	switch c.word {
	case nLock:
		c.acquire(AdvisoryLock)
	case nPgTemp:
		c.acquire(Temp)
	case nDirty:
		c.acquire(Dirty)
	case nUnresettable:
		c.acquire(Unresettable)
	case nSetting:
		c.acquire(SetOther)
	case nSetConfig:
		c.setConfig()
	case nSeed:
		c.effects.Flags |= Seed
	case nUnlockAll:
		c.unlockAll()
	case wTemp:
		c.temp()
	case wExecute:
		c.execute()
	case wCreate:
		c.effects.Flags |= Creates
	case wInto:
		if !c.intoTable(2) {
			c.effects.Flags |= Creates
		}
	case wAtomic:
		c.atomic = true
	case wWrite:
		if c.prev == wRead {
			c.effects.Flags |= ReadWrite
		}
	}
}

// temp is CREATE … TEMP and SELECT INTO TEMP; INSERT INTO temp is a table of that name.
func (c *classifier) temp() {
	switch c.prev {
	case wCreate, wReplace, wLocal, wGlobal:
		c.acquire(Temp)
	case wInto:
		if !c.intoTable(3) {
			c.acquire(Temp)
		}
	}
}

// intoTable says that the statement begins with INSERT INTO or MERGE INTO, and the current token, its at-th,
// belongs to that: elsewhere, INSERT may be a column.
func (c *classifier) intoTable(at int) bool {
	return c.tokens == at && (c.first == wInsert || c.first == wMerge)
}

// execute is EXECUTE of a prepared statement, wherever it may stand. GRANT EXECUTE ON and the
// EXECUTE FUNCTION of a trigger run nothing.
func (c *classifier) execute() {
	if c.prev != wAs {
		switch c.first {
		case wGrant, wRevoke, wAlter, wCreate:
			return
		}
	}
	c.acquire(Dirty)
}

// unlockAll remembers SELECT [pg_catalog.]pg_advisory_unlock_all. Anywhere else, in a CASE say, the
// call may not happen.
func (c *classifier) unlockAll() {
	qualified := c.tokens == 4 && c.before == nPgCatalog
	if c.first == wSelect && (c.tokens == 2 || qualified) {
		c.unlockAt = c.tokens
	}
}
