//go:build suites

package suites

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/e2e"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

func TestMain(m *testing.M) { os.Exit(e2e.Main(m)) }

// superuser is the role that runs the suites.
const superuser = pgserver.Superuser

// validity of its certificate: long enough that the broker does not announce its end in a notice.
const validity = 90 * 24 * time.Hour

// world is a PostgreSQL of its own for one run, so that no run sees what another left.
type world struct {
	*e2e.World
	server *pgserver.Server
}

// newWorld starts a server of that version that takes the clients' certificates as well as the broker's.
func newWorld(t *testing.T, version int) *world {
	t.Helper()
	shared := e2e.Shared(t)
	tls := shared.ServerTLS(shared.Server())
	tls.CA = string(shared.Clients.CertPEM()) + string(shared.Broker.CertPEM())
	server := pgserver.Start(t, pgserver.Options{
		Version: version, TLS: tls,
		Ident: []string{"pgsignet " + superuser + " " + superuser, "pgsignet broker " + superuser},
	})
	return &world{World: shared, server: server}
}

// target returns the server itself ("direct"), or a broker in front of it in that mode.
func (w *world) target(t *testing.T, mode string) *Target {
	t.Helper()
	address := w.server.Addr()
	if mode != direct {
		address = w.Start(t, w.options(mode)).Addr
	}
	target := &Target{Name: mode, Host: "localhost", User: superuser, Server: w.server}
	_, target.Port, _ = strings.Cut(address, ":")
	w.giveCertificate(t, target)
	return target
}

// options let the superuser through to every database, with connections enough for the suites.
//
// In session mode no server connection serves a second session, so that results equal a direct run's:
// DISCARD ALL cannot unload a library (regress: guc), drop the empty schema of temporary objects
// (temp) or make the server count another session (stats). Transaction mode lists those.
func (w *world) options(mode string) e2e.Options {
	pool := "size = 60\n max_pinned = 60\n mode = \"" + mode + "\""
	if mode == session {
		pool += "\n max_lifetime = \"1ms\""
	}
	return e2e.Options{
		Host:     w.server.Addr(),
		Upstream: "max_connections = 100",
		Pool:     pool,
		Top:      `database "*" { upstream = "pg" }`,
		Rules: `map "suites" {
  match { cn = "` + superuser + `" }
  role        = "` + superuser + `"
  databases   = ["*"]
}`,
	}
}

// giveCertificate writes what the target's user shows and trusts, in files of the server's user.
func (w *world) giveCertificate(t *testing.T, target *Target) {
	t.Helper()
	leaf := w.Issue(w.Clients, pki.Shape{CN: superuser, NotAfter: time.Now().Add(validity)})
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, pem []byte) string {
		path, err := w.server.WriteFile(name, pem)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	target.RootCert = write("root.crt", w.Servers.CertPEM())
	target.Cert, target.Key = write("client.crt", leaf.PEM()), write("client.key", key)
}
