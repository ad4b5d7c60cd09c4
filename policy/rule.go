package policy

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// Kind says what a rule does. The zero value is no rule: Compile refuses it.
type Kind uint8

// The kinds of rule. Every deny is tried before the first map.
const (
	Map Kind = iota + 1
	Deny
)

// String is the word that opens the rule's block.
func (k Kind) String() string {
	switch k {
	case Map:
		return "map"
	case Deny:
		return "deny"
	}
	return "rule"
}

// Rule is one `map` or `deny` block as plain values. What is absent has the zero value.
type Rule struct {
	Kind Kind
	Name string
	File string
	Line int // of the block's first line, from 1

	Match     []Condition    // all must fit
	From      []netip.Prefix // nil: any address
	Listeners []string       // nil: any listener
	Databases []string       // deny: nil is any database
	When      Expr           // nil: always
	WhenText  string         // When as written, for Explain and to compare rules
	Reads     []string       // OIDs of extensions that expressions read, beside those in Match

	// Maps only.
	Role            string   // may hold \1 to \9 or $1 to $9
	Roles           []string // likewise
	Assume          bool     // log in as Role, whatever user was named
	PoolMode        string   // "" | session | transaction
	Audit           string   // "" | session | statement | full
	Admin           string   // "" | viewer | operator
	Replication     bool
	FingerprintOnly bool
	Limits          Limits
	Session         SessionRule

	// Denies only.
	Reason string // for the audit; never sent to a client
}

// Ref names the rule for the audit.
func (r *Rule) Ref() RuleRef {
	return RuleRef{Kind: r.Kind, Name: r.Name, File: r.File, Line: r.Line}
}

// RuleRef names a rule and where it is written.
type RuleRef struct {
	Kind Kind
	Name string
	File string
	Line int
}

// String is `map "staff" (pgsignet.hcl:84)`.
func (r RuleRef) String() string {
	return fmt.Sprintf("%s %q (%s:%d)", r.Kind, r.Name, r.File, r.Line)
}

// Condition is one attribute of `match`. It fits when one of Values fits.
type Condition struct {
	Field  Field
	OID    string   // dotted, for FieldExtension only
	Values []string // constants; with a leading slash: an RE2 expression on the whole value
}

// Name is the attribute as it is written in `match`, with the OID of an extension.
func (c *Condition) Name() string {
	if c.Field == FieldExtension {
		return "extension " + c.OID
	}
	return c.Field.String()
}

// Expr is a `when` or a setting's value. It must be safe for concurrent use.
type Expr interface {
	// Eval computes the expression over cert, request and now (see VarTypes).
	Eval(vars map[string]cty.Value) (cty.Value, error)
}

// Limits caps what one map may use. Zero is no cap.
type Limits struct {
	Sessions    int // per identity (Grant.IdentityKey)
	MapSessions int // of the map in all
	Pool        int // server connections the map may hold
}

// SessionRule is a map's `session` block before its settings are evaluated.
type SessionRule struct {
	ReadOnly         bool
	StatementTimeout time.Duration // zero: none
	IdleTimeout      time.Duration // zero: none
	MaxDuration      time.Duration // zero: none
	Settings         []SettingRule
	Stamp            []string
	StampSet         bool // tells an empty Stamp from an absent one
}

// SettingRule is one entry of `settings`.
type SettingRule struct {
	Name  string
	Value Expr
}

// Database is a `database` block: the name clients ask for, and where it leads.
// Name "*" passes every other name through.
type Database struct {
	Name     string
	Upstream string
	DBName   string // on the server; "": the name asked for
}

// Listener is what rules need to know of a listener.
type Listener struct {
	Name  string
	Admin bool // offers the admin console
}

// Config is what Compile needs.
type Config struct {
	Rules          []Rule
	Databases      []Database
	AdminDatabases []string   // names of the console, never forwarded
	Listeners      []Listener // nil: names in rules are not checked, and no listener offers the console
}
