package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/golden"
	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/reference"
)

// explainCase is one login against the reference configuration, at ten in the morning.
type explainCase struct {
	name   string
	issuer func(*reference.Set) *pki.CA // nil: Clients
	shape  pki.Shape
	args   []string
	status int
}

func clientsCA(cn string) pki.Shape { return pki.Shape{CN: cn} }

func explainCases(tomorrow time.Time) []explainCase {
	strange := func(s *reference.Set) *pki.CA { return s.Broker }
	staff := pki.Shape{CN: "Alice", Email: []string{"alice@example.com"}}
	billing := pki.Shape{CN: "api", SPIFFE: "spiffe://prod.example/ns/billing/sa/api"}
	return []explainCase{
		{name: "granted", shape: staff, args: []string{"--user=alice", "--database=orders"}},
		{name: "wrong-user", shape: staff, args: []string{"--user=bob", "--database=orders"}, status: exitRefused},
		{name: "user-defaults-to-cn", shape: staff, args: []string{"--database=orders"}, status: exitRefused},
		{name: "wrong-database", shape: staff, args: []string{"--user=alice", "--database=payroll"}, status: exitRefused},
		{name: "wrong-case", shape: pki.Shape{CN: "Alice", Email: []string{"Alice@Example.com"}}, args: []string{"--user=alice", "--database=orders"}, status: exitRefused},
		{name: "look-alike", shape: clientsCA("\u0430lice"), args: []string{"--user=alice", "--database=orders"}, status: exitRefused},
		{name: "two-names", shape: pki.Shape{Subject: pki.Name{pki.CN("alice"), pki.CN("bob")}}, args: []string{"--user=alice", "--database=orders"}, status: exitRefused},
		{name: "superuser-by-capture", shape: pki.Shape{CN: "x", Email: []string{"postgres@example.com"}}, args: []string{"--user=postgres", "--database=orders"}, status: exitRefused},
		{name: "stolen-laptop", shape: pki.Shape{CN: "Alice", Email: []string{"alice@example.com"}, Serial: big.NewInt(0x4f1c2ab0)}, args: []string{"--user=alice", "--database=orders"}, status: exitRefused},
		{name: "at-night", shape: pki.Shape{CN: "carl", O: []string{"Contractors"}, Email: []string{"carl@example.com"}}, args: []string{"--user=carl", "--database=orders", "--from=10.1.2.3", "--at=" + tomorrow.Add(23*time.Hour).Format(time.RFC3339)}, status: exitRefused},
		{name: "expired", shape: pki.Shape{CN: "Alice", NotBefore: tomorrow.Add(-50 * time.Hour), NotAfter: tomorrow.Add(-25 * time.Hour)}, args: []string{"--user=alice"}, status: exitRefused},
		{name: "unknown-ca", issuer: strange, shape: clientsCA("alice"), args: []string{"--user=alice"}, status: exitRefused},
		{name: "server-certificate", shape: pki.ServerShape(), args: []string{"--user=alice"}, status: exitRefused},
		{name: "ca-certificate", shape: pki.Shape{CN: "Sub CA", IsCA: true}, args: []string{"--user=alice"}, status: exitRefused},
		{name: "service", shape: billing, args: []string{"--user=billing_ro", "--database=orders", "--from=10.0.0.7"}},
		{name: "service-at-night", shape: billing, args: []string{"--user=billing_ro", "--database=orders", "--from=10.0.0.7", "--at=" + tomorrow.Add(2*time.Hour).Format(time.RFC3339)}, status: exitRefused},
		{name: "service-from-elsewhere", shape: billing, args: []string{"--user=billing_ro", "--database=orders", "--from=192.0.2.1"}, status: exitRefused},
		{name: "strange-trust-domain", shape: pki.Shape{CN: "api", SPIFFE: "spiffe://test.example/ns/billing/sa/api"}, args: []string{"--user=billing_ro", "--database=orders"}, status: exitRefused},
		{name: "payments", shape: pki.Shape{CN: "pia", Ext: []pki.Extension{pki.StringExtension(pki.OID{1, 3, 6, 1, 4, 1, 55555, 1, 1}, pki.UTF8String, "payments")}}, args: []string{"--user=anyone", "--database=orders"}},
		{name: "operator", shape: pki.Shape{CN: "olga", OU: []string{"Database Operations"}}, args: []string{"--user=olga", "--database=pgsignet"}},
		{name: "revoked", shape: pki.Shape{CN: "Alice", Serial: big.NewInt(0xdead)}, args: []string{"--user=alice"}, status: exitRefused},
	}
}

// TestExplain holds what explain prints about good logins and common mistakes.
func TestExplain(t *testing.T) {
	dir := t.TempDir()
	set, config := referenceFiles(t, dir)
	tomorrow := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	tidy := strings.NewReplacer(dir+"/", "")
	for _, tt := range explainCases(tomorrow) {
		t.Run(tt.name, func(t *testing.T) {
			cert := filepath.Join(dir, issueCase(t, dir, set, tt, tomorrow))
			args := append([]string{"explain", "--config", config, "--cert", cert, "--at", tomorrow.Add(10 * time.Hour).Format(time.RFC3339)}, tt.args...)
			out, status := runCommand(t, args...)
			golden.String(t, "testdata/explain/"+tt.name+".golden", steady(tidy.Replace(out)))
			if status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			asJSON, jsonStatus := runCommand(t, append(args, "--json")...)
			var e explanationJSON
			if err := json.Unmarshal([]byte(asJSON), &e); err != nil {
				t.Fatalf("%v in %s", err, asJSON)
			}
			if jsonStatus != tt.status || e.Granted != (tt.status == 0) || (e.Grant != nil) != e.Granted || (e.Refusal != nil) == e.Granted {
				t.Errorf("JSON: status %d, granted %v, grant %v, refusal %v", jsonStatus, e.Granted, e.Grant, e.Refusal)
			}
		})
	}
}

// A listener whose own certificate comes from the Workload API is explained without an agent: who may log
// in does not depend on it.
func TestExplainNeedsNoCertificateOfOurOwn(t *testing.T) {
	dir := t.TempDir()
	set, config := referenceFiles(t, dir)
	src, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	own := regexp.MustCompile(`(?m)^  (cert|key)_file += "pki/server\..*\n`)
	text := strings.Replace(string(own.ReplaceAll(src, nil)), "#workload_api", "workload_api", 1)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	leaf, err := set.Clients.Issue(pki.Shape{CN: "Alice", Email: []string{"alice@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := leaf.Write(dir, "alice"); err != nil {
		t.Fatal(err)
	}
	out, status := runCommand(t, "explain", "--config", config, "--cert", filepath.Join(dir, "alice.crt"), "--user=alice", "--database=orders")
	if status != 0 {
		t.Errorf("status %d:\n%s", status, out)
	}
}

// referenceFiles writes the reference configuration, and what it names, with one certificate revoked.
func referenceFiles(t *testing.T, dir string) (set *reference.Set, config string) {
	t.Helper()
	set, err := reference.Make(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	clients, err := set.Clients.CRLPEM(pki.CRLShape{NextUpdate: time.Now().AddDate(0, 0, 7), Revoked: []pki.Revoked{{Serial: big.NewInt(0xdead)}}})
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile("../../deploy/pgsignet.hcl")
	if err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(dir, "pgsignet.hcl")
	for name, data := range map[string][]byte{"pki/clients.crl": clients, "pgsignet.hcl": src} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return set, config
}

// issueCase makes the case's certificate and returns its file name.
func issueCase(t *testing.T, dir string, set *reference.Set, tt explainCase, tomorrow time.Time) string {
	t.Helper()
	ca, s := set.Clients, tt.shape
	if tt.issuer != nil {
		ca = tt.issuer(set)
	}
	if s.NotBefore.IsZero() {
		s.NotBefore, s.NotAfter = tomorrow.Add(-48*time.Hour), tomorrow.Add(72*time.Hour)
	}
	leaf, err := ca.Issue(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := leaf.Write(dir, tt.name); err != nil {
		t.Fatal(err)
	}
	return tt.name + ".crt"
}

func runCommand(t *testing.T, args ...string) (stdout string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(context.Background(), args, strings.NewReader(""), &out, &errs)
	if errs.Len() > 0 {
		t.Fatalf("%q: standard error: %s", args, errs.String())
	}
	return out.String(), status
}

// changing is what differs from run to run.
var changing = []struct {
	re   *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "SHA256"},
	{regexp.MustCompile(`\b[0-9a-f]{28,32}\b`), "SERIAL"},
	{regexp.MustCompile(`serial number of 1[56] octets`), "serial number of N octets"},
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\d[T ](\d\d:\d\d:\d\d)(Z| UTC)`), "TIME"},
}

func steady(s string) string {
	for _, c := range changing {
		s = c.re.ReplaceAllString(s, c.text)
	}
	return s
}
