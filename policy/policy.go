package policy

import (
	"net/netip"
	"slices"
	"sync"
)

// Policy is a compiled set of rules. It never changes and is safe for concurrent use.
type Policy struct {
	denies ruleSet
	maps   ruleSet

	databases map[string]Database
	any       *Database // database "*"
	consoles  []string  // admin databases
	listeners map[string]Listener

	patterns int // distinct expressions
	oids     []string
	warnings []Finding

	scratch sync.Pool // of *decision
}

// ruleSet holds the rules of one kind in file order, and where to find those that can fit.
type ruleSet struct {
	rules []rule
	index index
	users hints // of maps
}

// rule is a Rule with its matchers compiled.
type rule struct {
	Rule
	ref       RuleRef
	match     []condition
	capture   *pattern // the map's only expression with captures, or nil
	captureAt int      // its condition in match
	roles     []template
	matched   []string // names of match, for the grant
	broken    bool     // an expression does not compile; such a policy never decides
}

// condition is a compiled Condition.
type condition struct {
	field    fieldRef
	name     string
	source   []string // the values as written
	consts   []string
	set      map[string]struct{} // of consts when there are many
	nets     []netip.Prefix      // FieldIP: its constants
	patterns []*pattern
}

// manyConsts is the length from which a set is faster than comparing in turn.
const manyConsts = 8

// hasConst reports whether v is one of the constants.
func (c *condition) hasConst(v string) bool {
	if c.set != nil {
		_, ok := c.set[v]
		return ok
	}
	return slices.Contains(c.consts, v)
}

// Compile checks every rule and prepares it for Decide. Its error is a *CompileError that
// holds all findings at once.
func Compile(c Config) (*Policy, error) {
	p, findings := compile(c)
	if slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == Error }) {
		return nil, &CompileError{Findings: findings}
	}
	p.warnings = findings
	return p, nil
}

// Check returns every error and warning about the rules, in file order.
func Check(c Config) []Finding {
	_, findings := compile(c)
	return findings
}

// Warnings returns what Check says of a policy that compiles.
func (p *Policy) Warnings() []Finding { return slices.Clone(p.warnings) }

// OIDs lists the certificate extensions that rules read, sorted.
func (p *Policy) OIDs() []string { return slices.Clone(p.oids) }
