package compat

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/e2e"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// role logs in everywhere, with a certificate of that CN; it owns the database of that name.
const role = "compat"

// chosen is the version of PostgreSQL that drivers and tools meet where the test leaves it open:
// PGSIGNET_PG=18, else 0, the first that is found.
func chosen(t *testing.T) int {
	t.Helper()
	text := os.Getenv("PGSIGNET_PG")
	if text == "" {
		return 0
	}
	version, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("PGSIGNET_PG: %v", err)
	}
	return version
}

// world is a PostgreSQL that takes the drivers' certificates as well as the broker's.
type world struct {
	*e2e.World
	server *pgserver.Server
}

func newWorld(t *testing.T, version int, settings map[string]string) *world {
	t.Helper()
	if version == 0 {
		version = chosen(t)
	}
	shared := e2e.Shared(t)
	tls := shared.ServerTLS(shared.Server())
	tls.CA = string(shared.Clients.CertPEM()) + string(shared.Broker.CertPEM())
	server := pgserver.Start(t, pgserver.Options{
		Version: version, TLS: tls, Settings: settings,
		Ident: []string{"pgsignet " + role + " " + role, "pgsignet broker " + role, "pgsignet broker " + pgserver.Superuser,
			"pgsignet broker replicator"},
	})
	if err := server.CreateRole(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	if err := server.CreateDatabase(t.Context(), role, role); err != nil {
		t.Fatal(err)
	}
	return &world{World: shared, server: server}
}

// client issues a certificate that ends so late that the broker does not announce it in a notice.
func (w *world) client(cn string) *pki.Leaf {
	return w.Issue(w.Clients, pki.Shape{CN: cn, NotAfter: time.Now().Add(90 * 24 * time.Hour)})
}

// rules let the drivers' role and, for the tools that need them, two mighty ones through.
const rules = `
map "drivers" {
  match { cn = "compat" }
  role      = "compat"
  databases = ["*"]
}
map "owner" {
  match { cn = "postgres" }
  role      = "postgres"
  databases = ["*"]
}
map "replication" {
  match { cn = "replicator" }
  role        = "replicator"
  databases   = ["*"]
  replication = true
}
`

// slowClients is for the listener: a Java that has just started takes seconds of processor for its first handshake.
const slowClients = `handshake_timeout = "2m"`

// broker starts a broker before the server.
func (w *world) broker(t *testing.T, mode string) *e2e.Broker {
	t.Helper()
	return w.Start(t, e2e.Options{
		Host: w.server.Addr(), Rules: rules, Listener: slowClients, Pool: `mode = "` + mode + `"`,
		Top: `database "*" { upstream = "pg" }`,
	})
}

// at is a server at an address, to be reached with a certificate; nil: with none.
func (w *world) at(t *testing.T, name, address, user string, leaf *pki.Leaf) *Target {
	t.Helper()
	_, port, _ := strings.Cut(address, ":")
	dir := t.TempDir()
	target := &Target{Name: name, Host: "localhost", Port: port, User: user, Database: role, P12: filepath.Join(dir, "client.p12"),
		Modern: address != w.server.Addr() || w.server.Major >= 18}
	var err error
	if target.RootCert, err = w.Servers.WriteCA(dir, "root"); err != nil {
		t.Fatal(err)
	}
	if leaf == nil {
		target.P12 = ""
		return target
	}
	if target.Cert, target.Key, err = leaf.Write(dir, "client"); err != nil {
		t.Fatal(err)
	}
	writeP12(t, target)
	return target
}

// writeP12 makes what pgjdbc reads: the alias must be "user".
func writeP12(t *testing.T, target *Target) {
	t.Helper()
	cmd := exec.Command("openssl", "pkcs12", "-export", "-name", "user", "-in", target.Cert, "-inkey", target.Key,
		"-out", target.P12, "-passout", "pass:"+P12Password)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl pkcs12: %v\n%s", err, out)
	}
}
