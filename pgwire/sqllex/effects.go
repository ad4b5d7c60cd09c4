package sqllex

import "strings"

// Flags are the effects of a text on the session that runs it.
type Flags uint64

// What a text leaves on the server connection, and what ends it. Until then the connection belongs
// to the client, or must be reset before another one gets it (W52 and the table before W55).
const (
	// SetLone: the text is one SET name = literal; it can be replayed as it is. Effects.Setting
	// names the parameter.
	SetLone Flags = 1 << iota
	// SetOther: parameters are set in another way. Until ResetAll.
	SetOther
	// Role: SET ROLE, SET SESSION AUTHORIZATION and their RESET. Until DiscardAll.
	Role
	// Prepare: SQL PREPARE. Until DeallocateAll.
	Prepare
	// Listen: until UnlistenAll.
	Listen
	// AdvisoryLock: of the session, whether it was got or not. Until UnlockAll.
	AdvisoryLock
	// Temp: an object in pg_temp. Until DiscardTemp.
	Temp
	// HoldCursor: DECLARE … WITH HOLD. Effects.Cursor names it when the text is that statement alone.
	// Until CloseAll, or Close of each.
	HoldCursor
	// Load: LOAD, which nothing undoes: close the connection.
	Load
	// Unresettable: a temporary replication slot, an online backup, a replication origin. Nothing
	// undoes them: close the connection.
	Unresettable
	// Dirty: DO, CALL, EXECUTE, or a function that runs SQL it is given: anything may be left.
	// DiscardAll before the next client.
	Dirty
	// Opaque: the text does not end where a string, a quoted identifier or a comment does, so
	// nothing is known. PostgreSQL answers with a syntax error, unless it reads the text in
	// another encoding than we do. Treat as Dirty.
	Opaque
)

// What a text takes back. A flag stands only when nothing behind it in the text takes the same
// again, and it counts once the text has succeeded and its transaction is committed.
const (
	// Reset: the text is one RESET name or SET name TO DEFAULT, named in Effects.Setting.
	Reset Flags = 1 << (iota + 16)
	// ResetAll: RESET ALL. It leaves Role.
	ResetAll
	// DiscardAll ends all but Load and Unresettable.
	DiscardAll
	// DiscardTemp: DISCARD TEMP.
	DiscardTemp
	// DiscardPlans: DISCARD PLANS. It leaves prepared statements.
	DiscardPlans
	// DiscardSequences: DISCARD SEQUENCES.
	DiscardSequences
	// Unlisten: UNLISTEN of one channel.
	Unlisten
	// UnlistenAll: UNLISTEN *.
	UnlistenAll
	// UnlockAll: SELECT pg_advisory_unlock_all() and nothing else in that statement.
	UnlockAll
	// CloseAll: CLOSE ALL.
	CloseAll
	// Close: the text is one CLOSE of a cursor, named in Effects.Cursor. One with a name that is not ASCII
	// is not told.
	Close
	// Deallocate: DEALLOCATE of one statement, named in Effects.Name.
	Deallocate
	// DeallocateAll: DEALLOCATE ALL.
	DeallocateAll
)

// What else a text does.
const (
	// SetLocal: SET LOCAL, SET CONSTRAINTS, set_config(…, true). It ends with the transaction.
	SetLocal Flags = 1 << (iota + 32)
	// SetTransaction: SET TRANSACTION, or a transaction_… parameter.
	SetTransaction
	// Begin: BEGIN, START TRANSACTION.
	Begin
	// Commit: COMMIT, END.
	Commit
	// Rollback: ROLLBACK, ABORT of the transaction; not to a savepoint.
	Rollback
	// PrepareTransaction: PREPARE TRANSACTION.
	PrepareTransaction
	// ReadWrite: a read-only session would become, or might become, writable (W93).
	ReadWrite
	// RoleDefaults: ALTER ROLE or DATABASE … SET or RESET; new connections see it (W54).
	RoleDefaults
	// DropDatabase: DROP DATABASE or ALTER DATABASE … RENAME, named in Effects.Database (W98).
	DropDatabase
	// Password: CREATE or ALTER ROLE … PASSWORD.
	Password
	// Seed: setseed() or SET SEED. Not kept across connections, and nothing takes it back.
	Seed
	// TempPath: search_path begins with the temporary schema, or may: what Creates makes without a schema
	// in its name is then in pg_temp.
	TempPath
	// Creates: CREATE, or INTO of a SELECT.
	Creates
	// Unprepares: DEALLOCATE or DISCARD ALL is somewhere in the text. Prepared statements may be gone,
	// whatever became of the text or its transaction: what is prepared is not of it.
	Unprepares
)

// Acquires are the flags that leave something on the server connection.
const Acquires = SetLone | SetOther | Role | Prepare | Listen | AdvisoryLock | Temp | HoldCursor |
	Load | Unresettable | Dirty | Opaque

// releases are the flags that take something back.
const releases = Reset | ResetAll | DiscardAll | DiscardTemp | DiscardPlans | DiscardSequences |
	Unlisten | UnlistenAll | UnlockAll | CloseAll | Close | Deallocate | DeallocateAll

// Effects is what a text does to its session. It holds no part of the text.
type Effects struct {
	Flags      Flags
	Statements int    // in the text, empty ones not counted
	Setting    string // of SetLone and Reset, in lower case
	Name       string // of Deallocate
	Cursor     string // of HoldCursor and Close
	Database   string // of DropDatabase; the last one, if several
}

// Has reports whether any of the flags is set.
func (e *Effects) Has(f Flags) bool { return e.Flags&f != 0 }

// opposite returns the flags that f, coming later in a text, makes untrue.
func (f Flags) opposite() Flags {
	undone := Flags(0)
	for _, pair := range [...]struct{ taken, back Flags }{
		{SetLone | SetOther, Reset | ResetAll}, {Prepare, Deallocate | DeallocateAll},
		{Listen, Unlisten | UnlistenAll}, {AdvisoryLock, UnlockAll}, {Temp, DiscardTemp},
		{HoldCursor, CloseAll | Close}, {Acquires, DiscardAll}, {Dirty | Opaque, releases},
	} {
		if f&pair.taken != 0 {
			undone |= pair.back
		}
	}
	return undone
}

var flagNames = []struct {
	flag Flags
	name string
}{
	{SetLone, "set"}, {SetOther, "set_other"}, {Role, "role"}, {Prepare, "prepare"}, {Listen, "listen"},
	{AdvisoryLock, "advisory_lock"}, {Temp, "temp"}, {HoldCursor, "hold_cursor"}, {Load, "load"},
	{Unresettable, "unresettable"}, {Dirty, "dirty"}, {Opaque, "opaque"},
	{Reset, "reset"}, {ResetAll, "reset_all"}, {DiscardAll, "discard_all"}, {DiscardTemp, "discard_temp"},
	{DiscardPlans, "discard_plans"}, {DiscardSequences, "discard_sequences"}, {Unlisten, "unlisten"},
	{UnlistenAll, "unlisten_all"}, {UnlockAll, "unlock_all"}, {CloseAll, "close_all"},
	{Close, "close"},
	{Deallocate, "deallocate"}, {DeallocateAll, "deallocate_all"},
	{SetLocal, "set_local"}, {SetTransaction, "set_transaction"}, {Begin, "begin"}, {Commit, "commit"},
	{Rollback, "rollback"}, {PrepareTransaction, "prepare_transaction"}, {ReadWrite, "read_write"},
	{RoleDefaults, "role_defaults"}, {DropDatabase, "drop_database"}, {Password, "password"}, {Seed, "seed"},
	{TempPath, "temp_path"}, {Creates, "creates"}, {Unprepares, "unprepares"},
}

// String lists the flags by their slugs, joined by commas: the reason that a pin shows (W55).
func (f Flags) String() string {
	var names []string
	for _, n := range flagNames {
		if f&n.flag != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ",")
}
