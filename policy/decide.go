package policy

import (
	"slices"

	"github.com/zclconf/go-cty/cty"
)

// decision is one run of the engine. It is reused; nothing of it outlives Decide.
type decision struct {
	p        *Policy
	r        Request // with the address unmapped and the database filled in
	target   target
	userFits bool // could be a role at all

	vars map[string]cty.Value // for expressions; nil until one is evaluated

	results    []result // by pattern.id, valid when their run is this run
	run        uint64
	hits       []hit   // of all patterns run so far
	candidates []int32 // room for index.candidates
}

// target is where the requested database leads.
type target struct {
	db      Database
	known   bool // configured, or passed through
	console bool // the admin console
	offered bool // on this listener
}

// result holds which values fitted a pattern: hits[from:to] of the decision.
type result struct {
	run      uint64
	from, to int
}

// step is how far a rule came. Its order is that of evaluation.
type step uint8

const (
	atMatch step = iota
	atCaptures
	atListeners
	atFrom
	atUser
	atDatabase
	atReplication
	atWhen
	atSettings
	fits
)

// outcome is what became of one rule.
type outcome struct {
	step  step
	cond  *condition // the attribute of match, at atMatch
	cause cause      // at atCaptures
	err   error      // an expression that failed: the login is refused
}

// Decide gives the grant of one login, or a *Denied. It takes no lock and never blocks.
func (p *Policy) Decide(r Request) (*Grant, error) {
	g, denied := p.decide(r, nil)
	if denied != nil {
		return nil, denied
	}
	return g, nil
}

// decide is the engine of Decide and Explain: t is nil, or told what became of each rule.
func (p *Policy) decide(r Request, t *trace) (*Grant, *Denied) {
	d := p.begin(r)
	defer p.end(d)
	if denied := d.denies(t); denied != nil {
		return nil, denied
	}
	return d.maps(t)
}

// begin prepares a decision.
func (p *Policy) begin(r Request) *decision {
	d, _ := p.scratch.Get().(*decision)
	if d == nil {
		d = &decision{results: make([]result, p.patterns)}
	}
	if r.Identity == nil {
		r.Identity = emptyIdentity
	}
	r.Addr = r.Addr.Unmap().WithZone("")
	if r.Database == "" {
		r.Database = r.User
	}
	d.p, d.r, d.target = p, r, p.resolve(&r)
	d.userFits = r.User != "" && len(r.User) <= maxName
	d.run++
	return d
}

// end lets go of everything that belongs to the login.
func (p *Policy) end(d *decision) {
	clear(d.hits)
	d.hits = d.hits[:0]
	d.r, d.vars, d.target = Request{}, nil, target{}
	p.scratch.Put(d)
}

// resolve finds the requested database.
func (p *Policy) resolve(r *Request) target {
	if slices.Contains(p.consoles, r.Database) {
		return target{console: true, offered: p.listeners[r.Listener].Admin}
	}
	db, ok := p.databases[r.Database]
	if !ok && p.any != nil && r.Database != "" && r.Database != "*" && len(r.Database) <= maxName {
		db, ok = *p.any, true
	}
	if db.DBName == "" {
		db.DBName = r.Database
	}
	return target{db: db, known: ok}
}

// denies runs every deny; the first that fits refuses.
func (d *decision) denies(t *trace) *Denied {
	set := &d.p.denies
	for next := d.walk(set, t); ; {
		i, ok := next()
		if !ok {
			return nil
		}
		rule := &set.rules[i]
		o := d.deny(rule)
		t.tried(d, rule, o)
		if o.step == fits || o.err != nil {
			cause := rule.Reason
			if o.err != nil {
				cause = "when: " + o.err.Error()
			}
			return ErrDenied.with(&rule.ref, cause)
		}
	}
}

// deny evaluates one deny.
func (d *decision) deny(rule *rule) outcome {
	if o := d.door(rule); o.step != fits {
		return o
	}
	if rule.Databases != nil && !slices.Contains(rule.Databases, d.r.Database) && !slices.Contains(rule.Databases, "*") {
		return outcome{step: atDatabase}
	}
	return d.when(rule)
}

// maps runs the maps in file order; the first that grants decides.
func (d *decision) maps(t *trace) (*Grant, *Denied) {
	if !d.userFits {
		return nil, errUserName.with(nil, "")
	}
	set := &d.p.maps
	best, bestRule := outcome{}, (*rule)(nil)
	for next := d.walk(set, t); ; {
		i, ok := next()
		if !ok {
			return nil, d.refusal(best, bestRule)
		}
		if t == nil && best.reason() >= reasonUser && !set.users.mayName(i, d.r.User) {
			continue // it neither grants nor comes further than another map has
		}
		rule := &set.rules[i]
		o, role := d.try(rule)
		var g *Grant
		if o.step == fits {
			g, o = d.grant(rule, role)
		}
		t.tried(d, rule, o)
		switch {
		case o.err != nil:
			return nil, ErrNoMap.with(&rule.ref, o.failed())
		case g != nil:
			return g, nil
		case o.further(best):
			best, bestRule = o, rule
		}
	}
}

// walk yields the rules to evaluate: the candidates, or all of them for a trace.
func (d *decision) walk(set *ruleSet, t *trace) func() (int, bool) {
	if t != nil {
		i := -1
		return func() (int, bool) { i++; return i, i < len(set.rules) }
	}
	var filed []int32
	filed, d.candidates = set.index.candidates(d.r.Identity, d.candidates)
	rest := set.index.rest
	return func() (int, bool) {
		var i int32
		switch {
		case len(filed) > 0 && (len(rest) == 0 || filed[0] < rest[0]):
			i, filed = filed[0], filed[1:]
		case len(rest) > 0:
			i, rest = rest[0], rest[1:]
		default:
			return 0, false
		}
		return int(i), true
	}
}

// try evaluates one map. Whether user and database fit is always worked out, so that a client
// cannot tell by the time taken which of them was refused (A105).
func (d *decision) try(rule *rule) (outcome, string) {
	if o := d.door(rule); o.step != fits {
		return o, ""
	}
	role, userOK, c := d.role(rule)
	databaseOK := d.database(rule)
	switch {
	case c != causeNone:
		return outcome{step: atCaptures, cause: c}, ""
	case !userOK:
		return outcome{step: atUser}, ""
	case !databaseOK:
		return outcome{step: atDatabase}, ""
	case d.r.Replication && !rule.Replication:
		return outcome{step: atReplication}, ""
	}
	return d.when(rule), role
}

// door evaluates what does not depend on user and database: match, listeners, from.
func (d *decision) door(rule *rule) outcome {
	for i := range rule.match {
		if !d.conditionFits(&rule.match[i]) {
			return outcome{step: atMatch, cond: &rule.match[i]}
		}
	}
	if rule.Listeners != nil && !slices.Contains(rule.Listeners, d.r.Listener) {
		return outcome{step: atListeners}
	}
	if rule.From != nil && !contains(rule.From, d.r.Addr) {
		return outcome{step: atFrom}
	}
	return outcome{step: fits}
}

// database reports whether the map leads to the requested database.
func (d *decision) database(rule *rule) bool {
	switch {
	case rule.Admin != "":
		return d.target.console && d.target.offered
	case !d.target.known:
		return false
	}
	return slices.Contains(rule.Databases, d.r.Database) || slices.Contains(rule.Databases, "*")
}

// further reports whether o came further than best: what the audited reason tells.
func (o outcome) further(best outcome) bool { return o.reason() > best.reason() }
