package relay

import "github.com/pgsignet/pgsignet/pgwire/sqllex"

// This file follows what SQL makes of the names that the client's messages have given: a DEALLOCATE or
// CLOSE, or the end of a transaction, frees a name, and a PREPARE or DECLARE may then give it to another
// statement. The server's command tags say what was carried out, however it was spelled; the text is
// looked at only for the name. What a function or DO block does inside has no tag and is not seen.

// What a record says of a statement that may not be, or is not, the one its name was made for.
const (
	nameInDoubt = "the name may mean what SQL has prepared or declared since"
	nameIsSQLs  = "what ran is what SQL had prepared or declared by the name"
)

// freed says how many of the names of a kind a text has freed.
type freed uint8

const (
	freedNone freed = iota
	freedSome       // which is for the text to say
	freedAll
)

// renamed takes in what e, which is over, has done to names.
func (w *watch) renamed(e *entry) {
	if e.Op != OpQuery && e.Op != OpExecute {
		return
	}
	var statements, portals freed
	for _, tag := range e.Tags {
		switch tag {
		case "DEALLOCATE":
			statements = max(statements, freedSome)
		case "DEALLOCATE ALL":
			statements = freedAll
		case "DISCARD ALL":
			statements, portals = freedAll, freedAll
		case "ROLLBACK", "CLOSE CURSOR":
			portals = max(portals, freedSome)
		case "CLOSE CURSOR ALL", "COMMIT", "PREPARE TRANSACTION":
			portals = freedAll
		}
	}
	if statements != freedNone {
		w.deallocated(e, statements)
	}
	if portals != freedNone {
		w.closed(e, portals)
	}
}

// deallocated forgets the statements that e has deallocated. When it is not clear which, all names are in
// doubt from then on: their texts stay in the record, since to forget them would be a way to hide them.
func (w *watch) deallocated(e *entry, which freed) {
	if which == freedAll {
		w.confirmed.dropStatements()
		return
	}
	if effects, lone := e.effects(); lone && effects.Has(sqllex.Deallocate) && !mayBeCut([]byte(effects.Name)) {
		w.confirmed.dropStatement(effects.Name)
		return
	}
	w.confirmed.epoch++ // there may be many, and many such texts
}

// closed forgets the portals that e has ended. ROLLBACK TO ends those that are newer than its savepoint:
// they are in doubt then, as when CLOSE ends one.
func (w *watch) closed(e *entry, which freed) {
	if effects, lone := e.effects(); which == freedAll || lone && effects.Has(sqllex.Rollback|sqllex.Commit|sqllex.PrepareTransaction) {
		w.clearPortals(&w.confirmed)
		return
	}
	for _, b := range w.confirmed.portals {
		b.text.doubt = true
	}
}

// effects are those of e's text. lone is false when there is more in the text than one statement, or more
// of it than is kept.
func (e *entry) effects() (effects sqllex.Effects, lone bool) {
	if len(e.Tags) > 1 || e.TextLen != 0 {
		return effects, false
	}
	effects = sqllex.Classify(e.Text)
	return effects, effects.Statements == 1
}
