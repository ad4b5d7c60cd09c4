package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pgsignet/pgsignet/policy/identity"
)

// Test is a `test` block: one login and what must become of it.
type Test struct {
	Name string
	File string
	Line int

	Cert     *identity.Identity // nil: CertFile
	CertFile string             // PEM

	User, Database  string
	Listener        string     // "": the only one
	From            netip.Addr // invalid: none in particular
	At              time.Time  // zero: now
	ApplicationName string
	Replication     bool

	Expect Expect
}

// Expect is what a test expects. Map and Role are not compared when they are empty.
type Expect struct {
	Allow     bool
	Map, Role string
}

// TestResult is how a test went.
type TestResult struct {
	Test        *Test
	Err         error // nil: as expected
	Explanation Explanation
}

// RunTests runs every test against p. loadCert verifies and reads a CertFile for a listener; an
// error of its own refuses that login. now is the time of tests that name none.
func RunTests(p *Policy, tests []Test, now time.Time, loadCert func(file, listener string) (*identity.Identity, error)) []TestResult {
	out := make([]TestResult, len(tests))
	for i := range tests {
		out[i] = p.runTest(&tests[i], now, loadCert)
	}
	return out
}

func (p *Policy) runTest(t *Test, now time.Time, loadCert func(file, listener string) (*identity.Identity, error)) TestResult {
	res := TestResult{Test: t}
	r, err := p.request(t, now)
	if err != nil {
		res.Err = err
		return res
	}
	if t.Cert == nil && loadCert == nil {
		res.Err = fmt.Errorf("%s: certificate files are not read here", t.CertFile)
		return res
	}
	if t.Cert == nil {
		r.Identity, err = loadCert(t.CertFile, r.Listener)
		if err != nil {
			res.Err = refusedCert(t, err)
			return res
		}
	}
	res.Explanation = p.Explain(r)
	res.Err = t.Expect.compare(res.Explanation)
	return res
}

// request is the login that a test describes.
func (p *Policy) request(t *Test, now time.Time) (Request, error) {
	r := Request{Identity: t.Cert, Listener: t.Listener, Addr: t.From, User: t.User, Database: t.Database,
		ApplicationName: t.ApplicationName, Replication: t.Replication, Now: t.At}
	if r.Now.IsZero() {
		r.Now = now
	}
	if _, known := p.listeners[t.Listener]; t.Listener != "" && len(p.listeners) > 0 && !known {
		return r, fmt.Errorf("there is no listener %q", t.Listener)
	}
	if t.Listener == "" && len(p.listeners) == 1 {
		for name := range p.listeners {
			r.Listener = name
		}
	}
	if t.Listener == "" && len(p.listeners) > 1 {
		return r, errors.New("there are several listeners: write listener")
	}
	return r, nil
}

// refusedCert is the result of a certificate that is refused before any rule is asked. A file
// that cannot be read is a failure even where a refusal is expected.
func refusedCert(t *Test, err error) error {
	var refused interface{ Reason() string }
	if !t.Expect.Allow && errors.As(err, &refused) {
		return nil
	}
	return fmt.Errorf("%s: %w", t.CertFile, err)
}

// compare tells how an explanation differs from what is expected.
func (e Expect) compare(got Explanation) error {
	switch {
	case e.Allow && got.Denied != nil:
		return fmt.Errorf("refused: %w", got.Denied)
	case !e.Allow && got.Grant != nil:
		return fmt.Errorf("granted by %v as %q", got.Grant.Rule, got.Grant.Role)
	case e.Map != "" && e.Map != got.Grant.Rule.Name:
		return fmt.Errorf("granted by %v, not by map %q", got.Grant.Rule, e.Map)
	case e.Role != "" && e.Role != got.Grant.Role:
		return fmt.Errorf("granted as %q, not as %q", got.Grant.Role, e.Role)
	}
	return nil
}
