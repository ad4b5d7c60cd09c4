package compat

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/e2e"
	"github.com/pgsignet/pgsignet/testenv/golden"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// cause is a certificate that does not get in, and what its owner has to be told.
type cause struct {
	name   string // the table's heading
	reason string // in the audit
	says   string
	leaf   *pki.Leaf // nil: none
}

// causes needs a broker that reads the returned files: a certificate that is revoked, and CAs that are
// not trusted, one under a name of its own and one under that of the trusted CA.
func causes(t *testing.T, w *world) (all []cause, files map[string]string) {
	t.Helper()
	revoked := w.client(role)
	namesake := w.Root(pki.Shape{RawSubject: w.Clients.X509.RawSubject})
	expired := w.Issue(w.Clients, pki.Shape{CN: role, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	return []cause{
			{"expired", "expired", "client certificate has expired", expired},
			{"revoked", "revoked_crl", "client certificate is revoked", revoked},
			{"unknown CA of a trusted name", "unknown_ca", unknownCA, w.Issue(namesake, pki.Shape{CN: role})},
			{"unknown CA", "unknown_ca", unknownCA, w.Issue(w.Root(pki.Shape{CN: "Strangers"}), pki.Shape{CN: role})},
			{"none", "no_cert", noCertificate, nil},
		}, map[string]string{
			"clients.crl": string(e2e.CRL(t, w.Clients, pki.CRLShape{Revoked: []pki.Revoked{pki.Revoke(revoked)}})),
		}
}

// shown is what a driver showed its user: the cause, and the SQLSTATE when it was there.
func shown(step Step, says string) string {
	if step.Status != OK || !strings.Contains(step.Detail, says) {
		return "**no**"
	}
	if strings.Contains(step.Detail, "28000") {
		return "cause, SQLSTATE"
	}
	return "cause"
}

// TestCausesOfRefusal (T2): the driver on which a whole ecosystem stands shows its user why a certificate
// was refused, and the SQLSTATE where it has one; docs/compatibility.md has the table.
func TestCausesOfRefusal(t *testing.T) {
	w := newWorld(t, 0, nil)
	all, files := causes(t, w)
	b := w.Start(t, e2e.Options{
		Host: w.server.Addr(), Rules: rules, Listener: slowClients + "\ncrl = [\"clients.crl\"]", Files: files, Top: `database "*" { upstream = "pg" }`,
	})
	head, rule := "| driver |", "| --- |"
	for _, c := range all {
		head, rule = head+" "+c.name+" |", rule+" --- |"
	}
	table, complete := head+"\n"+rule+"\n", true
	for _, key := range []string{"psql", "libpq18", "pgx", "pgjdbc"} {
		d := Drivers()[slices.IndexFunc(Drivers(), func(d Driver) bool { return d.Key == key })]
		ran := false
		t.Run(key, func(t *testing.T) {
			table += "| " + d.Name + " |"
			for _, c := range all {
				table += " " + showCause(t, b, d, w.at(t, c.name, b.Addr, role, c.leaf), c) + " |"
			}
			table, ran = table+"\n", true
		})
		complete = complete && ran // absent drivers have no row
	}
	if complete {
		expectCauses(t, table)
	}
}

// showCause runs the driver and holds what it prints, and what the audit says, to the cause.
func showCause(t *testing.T, b *e2e.Broker, d Driver, target *Target, c cause) string {
	before := len(b.Records("session.denied", 0))
	result, err := place.Run(t.Context(), d, target, "COMPAT_REFUSED=1")
	if reason, ok := errors.AsType[absent](err); ok {
		reportAbsent(t, d, reason)
	}
	if err != nil {
		t.Errorf("%s: %v", c.name, err)
		return "**no**"
	}
	reason, says, mark := c.reason, c.says, ""
	if d.Picky && c.name == "unknown CA" { // it does not send it
		reason, says, mark = "no_cert", noCertificate, " of “none”"
	}
	step := result.Find("refused")
	t.Logf("%s: %s", c.name, step.Detail)
	got := shown(step, says)
	want := "cause, SQLSTATE"
	if strings.HasPrefix(d.Key, "psql") || strings.HasPrefix(d.Key, "libpq") {
		want = "cause" // psql prints no SQLSTATE of a connection that failed
	}
	if got != want {
		t.Errorf("%s: %s shows %q: %s, want %s of %q", c.name, d.Name, step.Detail, got, want, says)
	}
	expectDenial(t, b.Records("session.denied", before+1)[before], reason, d.ModernOnly)
	return got + mark
}

// expectDenial holds the audit to the cause, and a libpq 18 to what only it can speak.
func expectDenial(t *testing.T, record map[string]any, reason string, modern bool) {
	t.Helper()
	denial, _ := record["denial"].(map[string]any)
	client, _ := record["client"].(map[string]any)
	if denial["reason"] != reason || denial["sqlstate"] != "28000" {
		t.Errorf("audit: %v, want %s", denial, reason)
	}
	if modern && (client["protocol"] != "3.2" || client["direct_tls"] != true) {
		t.Errorf("audit: %v, want protocol 3.2 in direct TLS: it was another libpq", client)
	}
}

func expectCauses(t *testing.T, table string) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", "compatibility.md")
	if golden.Updating() {
		golden.Section(t, path, "causes", table)
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := golden.ReadSection(string(text), "causes"); !ok || got != table {
		t.Errorf("%s shows another table; run the test with -update. Got:\n%s", path, table)
	}
}
