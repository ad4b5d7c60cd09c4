package trust

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// fixture is a listener's files and its client CA.
type fixture struct {
	*pki.Env
	t   testing.TB
	cfg Config
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	env := pki.New(t)
	f := &fixture{Env: env, t: t}
	f.cfg = Config{Listener: "main", ClientCA: []string{env.WriteCA(env.Clients, "clients")}}
	f.cfg.CertFile, f.cfg.KeyFile = env.WriteLeaf(env.Server(), "server")
	return f
}

// load fails the test on an error.
func (f *fixture) load(prev *Snapshot) *Snapshot {
	f.t.Helper()
	s, err := Load(f.cfg, time.Now(), prev)
	if err != nil {
		f.t.Fatalf("Load: %v", err)
	}
	return s
}

// write stores a file below Dir and returns its path.
func (f *fixture) write(name string, data []byte) string {
	f.t.Helper()
	path := filepath.Join(f.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	// Renamed into place, as tools that write such files do.
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// client issues a certificate below Clients.
func (f *fixture) client(s pki.Shape) *pki.Leaf {
	f.t.Helper()
	if s.CN == "" && s.Subject == nil && s.RawSubject == nil {
		s.CN = "alice"
	}
	return f.Issue(f.Clients, s)
}

// peer parses what the leaf presents.
func peer(t testing.TB, l *pki.Leaf) []*x509.Certificate {
	t.Helper()
	certs, err := l.Peer()
	if err != nil {
		t.Fatalf("Go cannot parse the certificate: %v", err)
	}
	return certs
}

// want is the outcome of a verification: "ok", or a reason.
type want struct {
	outcome string
	detail  string // part of the refusal's detail
}

// check verifies and compares. It does so twice: what is remembered must not change the outcome.
func (w want) check(t testing.TB, s *Snapshot, presented []*x509.Certificate, now time.Time) *Verified {
	t.Helper()
	var v *Verified
	for range 2 {
		var err error
		v, err = s.Verify(t.Context(), presented, nil, now)
		w.compare(t, v, err)
	}
	return v
}

func (w want) compare(t testing.TB, v *Verified, err error) {
	t.Helper()
	if err == nil {
		if w.outcome != "ok" {
			t.Fatalf("admitted, want %s", w.outcome)
		}
		chains := v.Report.Chains()
		for _, c := range v.Report.Checks() {
			if chains[c.Chain].Accepted && !c.Pass && c.Name != string(CRLStale) && c.Name != string(OCSPUnavailable) {
				t.Errorf("admitted, but the report says %+v", c)
			}
		}
		return
	}
	r, ok := errors.AsType[*Refusal](err)
	if !ok {
		t.Fatalf("error is no *Refusal: %v", err)
	}
	if r.Reason() != w.outcome {
		t.Fatalf("got %v, want %s", r, w.outcome)
	}
	if !strings.Contains(r.Detail(), w.detail) {
		t.Errorf("detail %q lacks %q", r.Detail(), w.detail)
	}
	if r.SQLState() != "28000" {
		t.Errorf("SQLSTATE %s", r.SQLState())
	}
	checkPublicText(t, w.outcome, r)
	checkReport(t, r)
}

// checkReport: a refusal's report has the failed check that gave its reason.
func checkReport(t testing.TB, r *Refusal) {
	t.Helper()
	if r.reason == NoCert {
		return
	}
	for _, c := range r.Report().Checks() {
		if !c.Pass && c.Name == r.Reason() {
			return
		}
	}
	t.Errorf("report of %v has no failed check of that name: %+v", r, r.Report().Checks())
}

var (
	yes = want{outcome: "ok"}
	no  = func(r Reason) want { return want{outcome: string(r)} }
)

// kinds are the kinds of a snapshot's notices.
func kinds(s *Snapshot) []string {
	var out []string
	for _, n := range s.Notices() {
		out = append(out, n.Kind)
	}
	return out
}
