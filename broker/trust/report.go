package trust

import (
	"crypto/x509"
	"time"
)

// Report tells how a verification went: error text, audit and explain read the same findings. It is
// cheap to carry; Checks does the work of printing.
type Report struct {
	now   time.Time
	runs  []run
	extra []Check // findings about no single path: limits, SPIFFE
}

// run is one path as it was judged.
type run struct {
	path     *path
	anchored bool // it ends at an anchor
	accepted bool
	x509     *finding // what x509.Verify alone objected to, or nil
	statuses []status // revocation, of every certificate below the anchor; nil when not reached
}

// Check is one thing that was looked at.
type Check struct {
	Chain    int    // which of the chains tried, from 0
	Cert     int    // position in the chain, leaf 0; -1: none in particular
	Subject  string // of that certificate, printable ASCII
	Name     string // what was checked: the slug that its failure has
	Rule     string // T…, as documented
	Pass     bool
	Evidence string // printable ASCII
}

// Chain is one way to an anchor that was tried.
type Chain struct {
	Certs    []*x509.Certificate // leaf first; anchor last when Anchor is set
	Anchor   string              // SHA-256, lower hex; empty when none was reached
	Accepted bool
}

// Chains lists the chains that Checks counts.
func (r Report) Chains() []Chain {
	var out []Chain
	for _, run := range r.runs {
		c := Chain{Certs: run.path.certs, Accepted: run.accepted}
		if run.anchored {
			c.Anchor = fingerprintOf(c.Certs[len(c.Certs)-1]).String()
		}
		out = append(out, c)
	}
	return out
}

// Checks lists every check in the order made. It evaluates the same functions as the verification
// on the same values, so the two always agree.
func (r Report) Checks() []Check {
	out := append([]Check(nil), r.extra...)
	for n, run := range r.runs {
		if !run.anchored {
			continue // r.extra holds what broke the climb
		}
		findings := append(run.path.static(), run.path.dates(r.now)...)
		if run.x509 != nil {
			findings = append(findings, *run.x509)
		}
		for i, st := range run.statuses {
			findings = append(findings, st.findings(i)...)
		}
		for _, f := range findings {
			out = append(out, Check{
				Chain: n, Cert: f.index, Subject: certText(run.path.certs[f.index]), Name: string(f.reason),
				Rule: f.rule, Pass: f.pass, Evidence: ascii(f.evidence),
			})
		}
	}
	return out
}
