// Package reference makes the files that the reference configuration, deploy/pgsignet.hcl, names,
// and its second form in which every setting that is off is on.
//
// It does not read the configuration: that is broker/config's.
package reference

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// off is a setting that is switched off: a # without a space behind it. "# " is prose.
var off = regexp.MustCompile(`(?m)^(\s*)#([^ \n])`)

// Uncomment switches every setting of a reference configuration on.
func Uncomment(src []byte) []byte { return off.ReplaceAll(src, []byte("$1$2")) }

// Set is what Make made, for tests that want more of it.
type Set struct {
	Clients, Servers, Broker, Roles, Admin *pki.CA

	// Alice is a client's certificate with her address, at pki/alice.crt and .key.
	Alice *pki.Leaf
}

// Make writes the files into dir, valid for a year from a day before now, with the CRL valid for a week.
func Make(dir string, now time.Time) (*Set, error) {
	m := &maker{dir: dir, now: now}
	set := &Set{
		Clients: m.ca("clients-ca", "Clients CA"),
		Servers: m.ca("postgres-ca", "Servers CA"),
		Broker:  m.ca("broker-ca", "Broker CA"),
		Roles:   m.issuer("roles-ca", "Roles CA"),
		Admin:   m.ca("admin-ca", "Admin CA"),
	}
	m.ca("logs-ca", "Logs CA")
	m.bundle("prod-bundle", set.Clients) // its services are also issued by CN=Clients CA
	m.leaf(set.Servers, "server", pki.ServerShape())
	m.leaf(set.Servers, "admin", pki.ServerShape())
	m.leaf(set.Broker, "broker", pki.Shape{CN: "broker"})
	set.Alice = m.leaf(set.Clients, "alice", pki.Shape{CN: "Alice", O: []string{"Example"}, Email: []string{"alice@example.com"}})
	m.crl(set.Clients)
	m.secret("identity.key", strings.Repeat("0123456789abcdef", 4))
	m.secret("audit-dsn", "host=localhost dbname=audit sslmode=verify-full")
	return set, m.err
}

// maker writes files until the first error.
type maker struct {
	dir string
	now time.Time
	err error
}

func (m *maker) keep(err error) {
	if m.err == nil {
		m.err = err
	}
}

func (m *maker) write(name string, data []byte, mode os.FileMode) {
	path := filepath.Join(m.dir, name)
	m.keep(os.MkdirAll(filepath.Dir(path), 0o700))
	m.keep(os.WriteFile(path, data, mode))
}

func (m *maker) secret(name, text string) {
	m.write(filepath.Join("secrets", name), []byte(text+"\n"), 0o600)
}

func (m *maker) dates(s pki.Shape) pki.Shape {
	s.NotBefore = m.now.Add(-24 * time.Hour)
	s.NotAfter = s.NotBefore.AddDate(1, 0, 0)
	return s
}

func (m *maker) ca(name, cn string) *pki.CA {
	return m.root(name, pki.Shape{CN: cn})
}

// bundle stores a CA's certificate under another name.
func (m *maker) bundle(name string, ca *pki.CA) {
	if m.err == nil {
		m.write(filepath.Join("pki", name+".crt"), ca.CertPEM(), 0o644)
	}
}

// issuer is a CA that can make no others, with its key on disk.
func (m *maker) issuer(name, cn string) *pki.CA {
	zero := 0
	ca := m.root(name, pki.Shape{CN: cn, PathLen: &zero})
	if ca != nil {
		m.store(name, &ca.Leaf)
	}
	return ca
}

func (m *maker) root(name string, s pki.Shape) *pki.CA {
	ca, err := pki.NewRoot(m.dates(s))
	if err != nil {
		m.keep(fmt.Errorf("make %s: %w", name, err))
		return nil
	}
	m.write(filepath.Join("pki", name+".crt"), ca.CertPEM(), 0o644)
	return ca
}

func (m *maker) leaf(ca *pki.CA, name string, s pki.Shape) *pki.Leaf {
	if m.err != nil {
		return nil
	}
	leaf, err := ca.Issue(m.dates(s))
	if err != nil {
		m.keep(fmt.Errorf("make %s: %w", name, err))
		return nil
	}
	m.store(name, leaf)
	return leaf
}

func (m *maker) store(name string, leaf *pki.Leaf) {
	key, err := leaf.KeyPEM()
	m.keep(err)
	m.write(filepath.Join("pki", name+".crt"), leaf.PEM(), 0o644)
	m.write(filepath.Join("pki", name+".key"), key, 0o600)
}

// crl writes an empty CRL.
func (m *maker) crl(ca *pki.CA) {
	if m.err != nil {
		return
	}
	list, err := ca.CRLPEM(pki.CRLShape{ThisUpdate: m.now.Add(-time.Hour), NextUpdate: m.now.AddDate(0, 0, 7)})
	m.keep(err)
	m.write(filepath.Join("pki", "clients.crl"), list, 0o644)
}
