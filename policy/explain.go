package policy

// Explanation is Decide with its working shown. Grant and Denied are what Decide returns; one
// of them is nil.
type Explanation struct {
	Steps  []Step
	Grant  *Grant
	Denied *Denied
}

// Step is what became of one rule.
type Step struct {
	Rule      RuleRef
	Fits      bool   // a deny that refuses, a map that grants
	Reached   bool   // false: an earlier rule had decided
	Condition string // the first that failed: an attribute of the rule, "" when it fits
	Want      string // what the rule asks there
	Got       string // what the login has there
}

// Explain decides like Decide and tells what became of every deny and map, in order.
func (p *Policy) Explain(r Request) Explanation {
	t := &trace{}
	g, denied := p.decide(r, t)
	t.rest(p.denies.rules, Deny)
	t.rest(p.maps.rules, Map)
	return Explanation{Steps: append(t.denies, t.maps...), Grant: g, Denied: denied}
}

// trace gathers the steps of one decision. A nil trace gathers nothing.
type trace struct{ denies, maps []Step }

// tried notes the outcome of one rule.
func (t *trace) tried(d *decision, r *rule, o outcome) {
	if t == nil {
		return
	}
	s := Step{Rule: r.ref, Reached: true, Fits: o.step == fits}
	if !s.Fits {
		s.Condition, s.Want, s.Got = d.describe(r, o)
	}
	t.add(s)
}

func (t *trace) add(s Step) {
	if s.Rule.Kind == Deny {
		t.denies = append(t.denies, s)
		return
	}
	t.maps = append(t.maps, s)
}

// rest notes the rules that were not reached.
func (t *trace) rest(rules []rule, k Kind) {
	done := len(t.maps)
	if k == Deny {
		done = len(t.denies)
	}
	for i := done; i < len(rules); i++ {
		t.add(Step{Rule: rules[i].ref})
	}
}
