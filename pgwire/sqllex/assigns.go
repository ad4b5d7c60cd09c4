package sqllex

// transactionDefaults are the parameters behind SET SESSION CHARACTERISTICS AS TRANSACTION.
var transactionDefaults = [...]string{
	"default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable",
}

// AnyName is what Assigns takes for the name of a parameter that is no literal.
const AnyName = "?"

// Assigns returns the name, in lower case, of the first parameter that the text gives a value and for
// which search says yes, or "": by SET, SET LOCAL, or set_config with its name as a literal. RESET is
// no value. A text whose strings could be read in two ways is read in both.
//
// It is for texts of which Classify says SetLone, SetOther or SetLocal; with others it finds nothing.
func Assigns(sql string, search func(name string) bool) string {
	for _, escapes := range [...]bool{false, true} {
		c := classifier{lex: Lexer{sql: sql, escapes: escapes}, search: search}
		if c.run(); c.found != "" {
			return c.found
		}
		if !c.lex.ambiguous && !c.lex.slashes {
			break
		}
	}
	return ""
}

// assigned notes that a parameter is given a value.
func (c *classifier) assigned(name string) {
	if c.search != nil && c.found == "" && c.search(name) {
		c.found = name
	}
}
