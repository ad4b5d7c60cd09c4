package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pgsignet/pgsignet/broker/pki"
)

// demoLifetime is longer than what `check` warns about.
const demoLifetime = 60 * 24 * time.Hour

// demoPKI is the demo's certificates on disk.
type demoPKI struct {
	clientsCA, serversCA, brokerCA *pki.CA
	postgres                       *pki.Issued
	visitors                       []visitor
}

// visitor is somebody who holds a certificate.
type visitor struct {
	*pki.Issued
	shows string // what of the certificate the rules look at
	role  string
}

// newDemoPKI makes the certificates in dir. hosts are names of the servers, beside localhost.
func newDemoPKI(dir string, hosts ...string) (*demoPKI, error) {
	p := &demoPKI{}
	var err error
	var names pki.AltNames // none: the addresses of this machine
	if len(hosts) > 0 {
		names.DNS = append(hosts, "localhost")
	}
	for name, ca := range map[string]**pki.CA{"clients-ca": &p.clientsCA, "servers-ca": &p.serversCA, "broker-ca": &p.brokerCA} {
		if *ca, err = pki.Init(pki.Config{Dir: dir, Name: name}); err != nil {
			return nil, err
		}
	}
	if p.postgres, err = p.serversCA.Issue(pki.Request{Name: "postgres", Subject: pki.Subject{CN: "localhost"}, AltNames: names, Server: true, Lifetime: demoLifetime}); err != nil {
		return nil, err
	}
	if _, err = p.serversCA.Issue(pki.Request{Name: "server", Subject: pki.Subject{CN: "localhost"}, AltNames: names, Server: true, Lifetime: demoLifetime}); err != nil {
		return nil, err
	}
	if _, err = p.brokerCA.Issue(pki.Request{Name: "broker", Subject: pki.Subject{CN: "broker"}, Lifetime: demoLifetime}); err != nil {
		return nil, err
	}
	return p, p.issueVisitors()
}

// issueVisitors makes certificates for two people and a service.
func (p *demoPKI) issueVisitors() error {
	const api = "spiffe://prod.example/ns/billing/sa/api"
	for _, v := range []struct {
		request     pki.Request
		shows, role string
	}{
		{pki.Request{
			Name: "alice", Subject: pki.Subject{CN: "Alice Liddell"}, AltNames: pki.AltNames{Email: []string{"alice@example.com"}},
		}, "email alice@example.com", "alice"},
		{pki.Request{
			Name: "bob", Subject: pki.Subject{CN: "Bob Builder"}, AltNames: pki.AltNames{Email: []string{"bob@example.com"}},
		}, "email bob@example.com", "bob"},
		{pki.Request{
			Name: "billing", AltNames: pki.AltNames{URI: []string{api}}, Subject: pki.Subject{O: []string{"SPIRE"}},
		}, api, "billing_rw"},
	} {
		v.request.Lifetime = demoLifetime
		issued, err := p.clientsCA.Issue(v.request)
		if err != nil {
			return err
		}
		p.visitors = append(p.visitors, visitor{Issued: issued, shows: v.shows, role: v.role})
	}
	return nil
}

// demoConfig is a first configuration, with a word on each block.
func demoConfig(postgres string) string {
	return `listener "main" {                      # where clients connect
  address   = "127.0.0.1:0"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt"]   # who may vouch for clients
}
upstream "orders" {                    # a PostgreSQL server, and how the broker logs in there
  hosts       = ["` + postgres + `"]
  server_name = "localhost"
  ca_file     = "pki/servers-ca.crt"
  credential "certificate" {
    cert_file = "pki/broker.crt"
    key_file  = "pki/broker.key"
  }
}
database "orders" { upstream = "orders" }

map "staff" {                          # alice@example.com becomes alice
  match { email = "/^([a-z]+)@example[.]com$" }
  role      = "$1"
  databases = ["orders"]
}
map "billing service" {
  match { spiffe = "spiffe://prod.example/ns/billing/sa/api" }
  role      = "billing_rw"
  databases = ["orders"]
}
audit { directory = "audit" }
admin { address = "" }                 # no HTTP endpoint in the demo
`
}

// demoRecord is the part of an audit line that the demo prints.
type demoRecord struct {
	Event string
	Time  time.Time
	Cert  struct {
		Subject, Serial string
		SHA256          string `json:"sha256"`
		Email           []string
		SPIFFE          string
	}
	Rule      struct{ Name string }
	Requested struct{ User, Database string }
	Granted   struct{ Role string }
	Denial    struct {
		Reason   string
		SQLState string
	}
}

// wanted says whether the demo shows the record.
func (r *demoRecord) wanted() bool { return r.Event == "session.open" || r.Event == "session.denied" }

// line is the record in words.
func (r *demoRecord) line() string {
	verdict := fmt.Sprintf("as %s by map %q", r.Granted.Role, r.Rule.Name)
	if r.Event == "session.denied" {
		verdict = fmt.Sprintf("asked for %s: %s, SQLSTATE %s", r.Requested.User, r.Denial.Reason, r.Denial.SQLState)
	}
	return fmt.Sprintf("%s  %-14s  sha256 %.12s…  %-16s  %s",
		r.Time.Format(time.TimeOnly), r.Event, r.Cert.SHA256, r.Cert.Subject, verdict)
}

// printAudit prints the audit's logins and refusals, then one line as it is on disk.
func (d *demo) printAudit() error {
	want := len(d.pki.visitors) + 1
	deadline := time.Now().Add(10 * time.Second)
	for {
		records, raw, err := d.readAudit()
		if err != nil {
			return err
		}
		if len(records) < want && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond) // refusals are written behind the scenes
			continue
		}
		for _, r := range records {
			fmt.Fprintln(d.out, " ", r.line())
		}
		fmt.Fprintf(d.out, "\n  the last of them as it stands on disk, chained to the line before and signed in batches:\n\n  %s\n", raw)
		return nil
	}
}

// readAudit returns the records of logins and refusals, and the last such line.
func (d *demo) readAudit() (records []demoRecord, raw string, err error) {
	names, err := filepath.Glob(filepath.Join(d.dir, "audit", "*.ndjson"))
	if err != nil {
		return nil, "", err
	}
	slices.Sort(names)
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, "", err
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var r demoRecord
			if json.Unmarshal(lines.Bytes(), &r) == nil && r.wanted() {
				records, raw = append(records, r), lines.Text()
			}
		}
		f.Close()
		if err := lines.Err(); err != nil {
			return nil, "", err
		}
	}
	return records, raw, nil
}
