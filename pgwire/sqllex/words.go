package sqllex

// word is a keyword or a name that Classify knows. Keywords count only without quotes; names in
// every spelling that yields them.
type word uint8

const (
	unknown word = iota

	// Keywords.
	wAbort
	wAll
	wAlter
	wAs
	wAtomic
	wAuthorization
	wBegin
	wCall
	wCharacteristics
	wClose
	wCommit
	wConstraints
	wCreate
	wDatabase
	wDeallocate
	wDeclare
	wDefault
	wDiscard
	wDo
	wDrop
	wEnd
	wExecute
	wExists
	wGlobal
	wGrant
	wGroup
	wHold
	wIf
	wInsert
	wInto
	wListen
	wLoad
	wLocal
	wMapping
	wMerge
	wNames
	wPassword
	wPlans
	wPrepare
	wPrepared
	wRead
	wRename
	wReplace
	wReset
	wRevoke
	wRole
	wRollback
	wSchema
	wSelect
	wSequences
	wSession
	wSet
	wStart
	wTemp
	wTime
	wTo
	wTransaction
	wUnlisten
	wUser
	wWith
	wWork
	wWrite
	wXML
	wZone

	// Names, of functions, a schema, settings: all above wZone.
	nPgCatalog
	nPgTemp          // the schema of temporary objects
	nSetConfig       // sets what its first argument names
	nSetting         // a function that sets one parameter of its own
	nLock            // takes a session advisory lock
	nUnlockAll       // gives back every one
	nSeed            // sets the seed of random()
	nDirty           // runs SQL it is given as text, or changes settings
	nUnresettable    // leaves what no DISCARD removes
	nReadOnly        // transaction_read_only
	nDefaultReadOnly // default_transaction_read_only
)

var words = map[string]word{
	"abort": wAbort, "all": wAll, "alter": wAlter, "as": wAs, "atomic": wAtomic, "authorization": wAuthorization,
	"begin": wBegin, "call": wCall, "characteristics": wCharacteristics, "close": wClose,
	"commit": wCommit, "constraints": wConstraints, "create": wCreate, "database": wDatabase,
	"deallocate": wDeallocate, "declare": wDeclare, "default": wDefault, "discard": wDiscard,
	"do": wDo, "drop": wDrop, "end": wEnd, "execute": wExecute, "exists": wExists,
	"global": wGlobal, "grant": wGrant, "group": wGroup, "hold": wHold,
	"if": wIf, "insert": wInsert, "into": wInto, "listen": wListen, "load": wLoad, "local": wLocal,
	"mapping": wMapping, "merge": wMerge, "names": wNames,
	"password": wPassword, "plans": wPlans, "prepare": wPrepare, "prepared": wPrepared,
	"read": wRead, "rename": wRename, "replace": wReplace, "reset": wReset,
	"revoke": wRevoke, "role": wRole, "rollback": wRollback, "schema": wSchema, "select": wSelect,
	"sequences": wSequences, "session": wSession, "set": wSet, "start": wStart, "temp": wTemp,
	"temporary": wTemp, "time": wTime, "to": wTo, "transaction": wTransaction,
	"unlisten": wUnlisten, "user": wUser, "with": wWith, "work": wWork, "write": wWrite,
	"xml": wXML, "zone": wZone,

	"pg_catalog": nPgCatalog, "pg_temp": nPgTemp, "set_config": nSetConfig,
	"set_limit":        nSetting, // pg_trgm
	"pg_advisory_lock": nLock, "pg_advisory_lock_shared": nLock,
	"pg_try_advisory_lock": nLock, "pg_try_advisory_lock_shared": nLock,
	"pg_advisory_unlock_all": nUnlockAll, "setseed": nSeed,
	"pg_settings": nDirty, "ts_stat": nDirty, "ts_rewrite": nDirty, "connectby": nDirty, "xpath_table": nDirty,
	"pg_backup_start": nUnresettable, "pg_start_backup": nUnresettable,
	"pg_create_physical_replication_slot": nUnresettable, "pg_create_logical_replication_slot": nUnresettable,
	"pg_copy_physical_replication_slot": nUnresettable, "pg_copy_logical_replication_slot": nUnresettable,
	"pg_replication_origin_session_setup": nUnresettable,
	"transaction_read_only":               nReadOnly, "default_transaction_read_only": nDefaultReadOnly,
}

// families are names by their prefix.
var families = []struct {
	prefix string
	word   word
}{
	{"pg_temp_", nPgTemp},
	{"query_to_xml", nDirty},
	{"cursor_to_xml", nDirty},
	{"crosstab", nDirty},
	{"dblink", nDirty},
}

// maxName is where PostgreSQL cuts an identifier: NAMEDATALEN - 1, in bytes.
const maxName = 63

// candidates says for each first letter, folded, which lengths a word may have: bit n for n bytes.
// Most identifiers of a text are dismissed by it.
var candidates = func() (table [256]uint64) {
	for text := range words {
		table[text[0]] |= 1 << len(text)
	}
	for _, f := range families {
		table[f.prefix[0]] |= ^uint64(0) << len(f.prefix)
	}
	return table
}()

// seconds says for each first letter, folded, which second ones a word may have.
var seconds = func() (table [256]uint32) {
	for text := range words {
		table[text[0]] |= secondBit(text[1])
	}
	for _, f := range families {
		table[f.prefix[0]] |= secondBit(f.prefix[1])
	}
	return table
}()

// secondBit is the bit of a second letter; some share theirs.
func secondBit(c byte) uint32 { return 1 << (lower(c) & 31) }

// candidate reports whether an identifier can be a word, by its length and its first two letters.
func candidate(name string) bool {
	if len(name) < 2 {
		return false
	}
	first := lower(name[0])
	return candidates[first]&(1<<min(len(name), maxName)) != 0 && seconds[first]&secondBit(name[1]) != 0
}

// lookup returns the word that a folded name is.
func lookup(name []byte) word {
	if w, ok := words[string(name)]; ok {
		return w
	}
	for _, f := range families {
		if len(name) >= len(f.prefix) && string(name[:len(f.prefix)]) == f.prefix {
			return f.word
		}
	}
	return unknown
}
