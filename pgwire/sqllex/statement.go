package sqllex

// statement reads one statement, whose first token is the current one.
func (c *classifier) statement() {
	c.effects.Statements++
	if c.effects.Has(ResetAll) {
		c.effects.Flags |= ReadWrite // what follows runs under the server's own default
	}
	c.first = c.word
	c.verb()
	c.rest()
}

// verb handles the statements that are known by their first word.
func (c *classifier) verb() {
	switch c.first {
	case wSet:
		c.set()
	case wReset:
		c.reset()
	case wDiscard:
		c.discard()
	case wListen:
		c.acquire(Listen)
	case wUnlisten:
		c.unlisten()
	case wPrepare:
		c.prepare()
	case wDeallocate:
		c.deallocate()
	case wDeclare:
		c.declare()
	case wClose:
		c.closeCursor()
	case wLoad:
		c.acquire(Load)
	case wDo, wCall:
		c.acquire(Dirty)
	case wBegin, wStart, wCommit, wEnd, wRollback, wAbort:
		c.transaction()
	case wCreate, wAlter, wDrop:
		c.define()
	}
}

func (c *classifier) discard() {
	c.step()
	switch c.word {
	case wAll:
		c.effects.Flags |= DiscardAll | Unprepares
	case wTemp:
		c.effects.Flags |= DiscardTemp
	case wPlans:
		c.effects.Flags |= DiscardPlans
	case wSequences:
		c.effects.Flags |= DiscardSequences
	}
}

func (c *classifier) unlisten() {
	if c.step(); c.is('*') {
		c.effects.Flags |= UnlistenAll
	} else {
		c.effects.Flags |= Unlisten
	}
}

// prepare tells PREPARE TRANSACTION 'gid' from a statement that is named transaction.
func (c *classifier) prepare() {
	c.step()
	transaction := c.word == wTransaction
	if c.step(); transaction && c.token.Kind == String {
		c.effects.Flags |= PrepareTransaction
		return
	}
	c.acquire(Prepare)
}

// deallocate is DEALLOCATE [PREPARE] name or ALL; a statement may be named prepare.
func (c *classifier) deallocate() {
	c.effects.Flags |= Unprepares
	c.step()
	name := c.token
	if c.word == wPrepare {
		if c.step(); !c.ended() {
			name = c.token
		}
	}
	if c.word == wAll {
		c.effects.Flags |= DeallocateAll
		return
	}
	c.effects.Flags |= Deallocate
	c.effects.Name = c.lex.Name(name)
}

func (c *classifier) declare() {
	c.step()
	name := c.token
	for !c.ended() {
		if c.step(); c.word == wHold && c.prev == wWith {
			c.acquire(HoldCursor)
			c.effects.Cursor = c.cursorName(name)
		}
	}
}

func (c *classifier) closeCursor() {
	if c.step(); c.word == wAll {
		c.effects.Flags |= CloseAll
		return
	}
	if c.effects.Cursor = c.cursorName(c.token); c.effects.Cursor != "" {
		c.effects.Flags |= Close
	}
}

// cursorName is the name of a cursor, or "" for one that PostgreSQL might read in another way: U&"", and
// letters that it folds as the locale of the database says.
func (c *classifier) cursorName(t Token) string {
	if t.Kind != Ident && t.Kind != QuotedIdent || t.form == unicode || !ASCII(c.lex.sql[t.Start:t.End]) {
		return ""
	}
	return c.lex.Name(t)
}

func (c *classifier) transaction() {
	switch c.first {
	case wBegin, wStart:
		c.effects.Flags |= Begin
		return
	}
	for c.step(); c.word == wWork || c.word == wTransaction; {
		c.step()
	}
	switch {
	case c.word == wPrepared: // another session's transaction
	case c.word == wTo:
		c.backTo = true
	case c.first == wCommit, c.first == wEnd:
		c.effects.Flags |= Commit
	default:
		c.effects.Flags |= Rollback
	}
}

// define is CREATE, ALTER and DROP of what the broker watches: roles and databases.
func (c *classifier) define() {
	c.step()
	switch c.word {
	case wDatabase:
		c.database()
	case wRole, wUser, wGroup:
		c.role()
	}
}

func (c *classifier) role() {
	for c.step(); !c.ended(); c.step() {
		switch c.word {
		case wMapping:
			return // CREATE USER MAPPING
		case wPassword:
			c.effects.Flags |= Password
		case wSet, wReset:
			c.defaults()
		case nReadOnly, nDefaultReadOnly:
			c.effects.Flags |= ReadWrite
		}
	}
}

func (c *classifier) defaults() {
	if c.first == wAlter {
		c.effects.Flags |= RoleDefaults
	}
}

// database is DROP DATABASE [IF EXISTS] name …, and ALTER DATABASE name with SET or RENAME.
func (c *classifier) database() {
	c.step()
	if c.word == wIf {
		if c.step(); c.word == wExists {
			c.step()
		}
	}
	name := c.token
	dropped := c.first == wDrop
	for ; !c.ended(); c.step() {
		switch c.word {
		case wRename:
			dropped = true
		case wSet, wReset:
			c.defaults()
		case nReadOnly, nDefaultReadOnly:
			c.effects.Flags |= ReadWrite
		}
	}
	if dropped {
		c.effects.Flags |= DropDatabase
		c.effects.Database = c.lex.Name(name)
	}
}
