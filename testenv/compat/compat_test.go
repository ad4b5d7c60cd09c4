package compat

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/e2e"
	"github.com/pgsignet/pgsignet/testenv/golden"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// required says that no driver may be absent, as in CI: PGSIGNET_COMPAT=all.
func required() bool { return os.Getenv("PGSIGNET_COMPAT") == "all" }

// lab is what every driver meets.
type lab struct {
	server   *pgserver.Server
	targets  []*Target // direct, session, transaction
	refusals []refusal
	session  *e2e.Broker
}

// refusal is a certificate with which nobody gets in, and what every driver must show its user then.
type refusal struct {
	target *Target
	says   string
}

// unknownCA is what a certificate of another CA leads to. A picky driver does not even send it, since
// the server names its CAs during the handshake; PostgreSQL does so, too, and says the same.
const (
	unknownCA     = "client certificate is not issued by a trusted CA"
	noCertificate = "connection requires a valid client certificate"
)

func newLab(t *testing.T, version int) *lab {
	t.Helper()
	w := newWorld(t, version, nil)
	session, transaction := w.broker(t, "session"), w.broker(t, "transaction")
	expired := w.Issue(w.Clients, pki.Shape{CN: role, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	stranger := w.Issue(w.Root(pki.Shape{CN: "Strangers"}), pki.Shape{CN: role})
	return &lab{
		server: w.server, session: session,
		targets: []*Target{
			w.at(t, "direct", w.server.Addr(), role, w.client(role)),
			w.at(t, "session", session.Addr, role, w.client(role)),
			w.at(t, "transaction", transaction.Addr, role, w.client(role)),
		},
		refusals: []refusal{
			{w.at(t, "expired", session.Addr, role, expired), "client certificate has expired"},
			{w.at(t, "unknown CA", session.Addr, role, stranger), unknownCA},
			{w.at(t, "nobody", session.Addr, role, w.client("nobody")), "certificate not admitted"},
		},
	}
}

// TestDrivers takes every driver through its steps: with PostgreSQL directly, which shows that the
// program is right, then through the broker in both modes. Then it shows certificates that do not get in.
func TestDrivers(t *testing.T) {
	expectTable(t, "drivers", newLab(t, 0).runAll(t, Drivers()))
}

// TestApplications takes what people write programs with through its steps, likewise.
func TestApplications(t *testing.T) {
	expectTable(t, "applications", newLab(t, 0).runAll(t, Applications()))
}

// TestDriversOn18 takes one driver of each family to PostgreSQL 18, which speaks protocol 3.2 and TLS
// from the first byte itself; PGSIGNET_PG=18 takes all of them there.
func TestDriversOn18(t *testing.T) {
	newLab(t, 18).runAll(t, slices.DeleteFunc(Drivers(), func(d Driver) bool {
		return !slices.Contains([]string{"psycopg3_18", "pgx", "asyncpg", "pgjdbc"}, d.Key)
	}))
}

// runAll fills a row for each driver, a few at a time: they wait more than they compute.
func (l *lab) runAll(t *testing.T, drivers []Driver) []Row {
	rows := make([]Row, len(drivers))
	t.Run("drivers", func(t *testing.T) {
		for i, d := range drivers {
			rows[i].Driver = d
			t.Run(d.Key, func(t *testing.T) {
				t.Parallel()
				l.run(t, &rows[i])
			})
		}
	})
	return rows
}

// run fills the row of one driver, or skips the test when the driver is absent.
func (l *lab) run(t *testing.T, row *Row) {
	for _, target := range l.targetsOf(t, row.Driver) {
		result, err := place.Run(t.Context(), row.Driver, target)
		if reason, ok := errors.AsType[absent](err); ok {
			reportAbsent(t, row.Driver, reason)
			return
		}
		if err != nil {
			t.Errorf("%s: %v", target.Name, err)
			continue
		}
		expectSteps(t, target, row.Driver, result)
		row.Set(target.Name, result)
	}
	if row.Driver.Application {
		return // its driver's refusals are tested with the drivers
	}
	row.Refusals = true
	for _, r := range l.refusals {
		row.Refusals = l.refuse(t, row.Driver, r) && row.Refusals
	}
	if row.Driver.ModernOnly {
		l.expectDirectTLS(t)
	}
}

// targetsOf gives an application a database of its own: reading a schema, it stumbles over what others drop.
func (l *lab) targetsOf(t *testing.T, d Driver) []*Target {
	t.Helper()
	if !d.Application {
		return l.targets
	}
	database := role + "_" + d.Key
	if err := l.server.CreateDatabase(t.Context(), database, role); err != nil {
		t.Fatal(err)
	}
	var targets []*Target
	for _, target := range l.targets {
		own := *target
		own.Database = database
		targets = append(targets, &own)
	}
	return targets
}

// refuse says whether the driver shows its user why the login failed.
func (l *lab) refuse(t *testing.T, d Driver, r refusal) bool {
	t.Helper()
	result, err := place.Run(t.Context(), d, r.target, "COMPAT_REFUSED=1")
	if err != nil {
		t.Errorf("%s: %v", r.target.Name, err)
		return false
	}
	says := r.says
	if d.Picky && says == unknownCA {
		says = noCertificate
	}
	step := result.Find("refused")
	t.Logf("%s: %s", r.target.Name, step.Detail)
	if step.Status != OK || !strings.Contains(step.Detail, says) {
		t.Errorf("%s: %s says %q, want %q in it", r.target.Name, d.Name, step.Detail, says)
		return false
	}
	return true
}

// expectDirectTLS looks into the audit: a driver that was told to might have done without.
func (l *lab) expectDirectTLS(t *testing.T) {
	t.Helper()
	for _, record := range l.session.Records("session.open", 1) {
		if client, ok := record["client"].(map[string]any); ok && client["protocol"] == "3.2" && client["direct_tls"] == true {
			return
		}
	}
	t.Error("no session of protocol 3.2 with direct TLS in the audit")
}

// reportAbsent says so on the terminal even when the test passes, and fails where the driver must be there.
func reportAbsent(t *testing.T, d Driver, reason absent) {
	t.Helper()
	line := fmt.Sprintf("compat: %s DID NOT RUN: %s", d.Name, reason)
	if required() {
		t.Error(line)
		return
	}
	fmt.Fprintln(os.Stderr, line)
	t.Skip(line)
}

// skip leaves a test out that a program is missing for, which fails where none may be.
func skip(t *testing.T, err error) {
	t.Helper()
	if required() {
		t.Fatal(err)
	}
	t.Skipf("DID NOT RUN: %v", err)
}

func expectSteps(t *testing.T, target *Target, d Driver, result *Result) {
	t.Helper()
	t.Logf("%s: %s %s, %s", target.Name, result.Driver, result.Version, result.Library)
	for _, name := range d.Steps() {
		step := result.Find(name)
		t.Logf("%s: %-11s %-4s %s", target.Name, name, step.Status, step.Detail)
		if step.Status != OK && step.Status != None {
			t.Errorf("%s: %s %s: step %s: %s", target.Name, result.Driver, result.Version, name, step.Detail)
		}
	}
}

// expectTable compares with the table for people, if nothing was absent; a new version of a driver is no difference.
func expectTable(t *testing.T, section string, rows []Row) {
	t.Helper()
	if slices.ContainsFunc(rows, func(r Row) bool { return r.Session == nil }) {
		return
	}
	table := Markdown(rows)
	path := filepath.Join("..", "..", "docs", "compatibility.md")
	if golden.Updating() {
		golden.Section(t, path, section, table)
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := golden.ReadSection(string(text), section); !ok || WithoutVersions(got) != WithoutVersions(table) {
		t.Errorf("%s shows another table; run the test with -update. Got:\n%s", path, table)
	}
}
