package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// This file sets PostgreSQL up as docs/postgresql.md says, to the letter.

// page returns a block of docs/postgresql.md that is marked for tests.
func page(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "postgresql.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "<!-- test: "+name+" -->\n```")
	if !ok {
		t.Fatalf("docs/postgresql.md has no block %q", name)
	}
	_, rest, _ = strings.Cut(rest, "\n")
	code, _, _ := strings.Cut(rest, "```")
	return strings.TrimSpace(code)
}

func pageLines(t testing.TB, name string) []string { return strings.Split(page(t, name), "\n") }

// documented is a PostgreSQL of one version with the page's roles and lines.
type documented struct {
	*pgserver.Server
	w     *World
	roles *pki.CA // of credential "issuer"
}

// startDocumented runs a server that takes the broker's certificate, as the page's "certificate".
func (w *World) startDocumented(t *testing.T, version int, settings map[string]string) *documented {
	t.Helper()
	d := &documented{w: w, roles: w.Root(pki.Shape{CN: "Roles CA"})}
	tls := w.ServerTLS(w.Server())
	tls.CA = string(w.Env.Broker.CertPEM()) + string(d.roles.CertPEM())
	ident := "ident 15"
	if version >= 16 {
		ident = "ident 16"
	}
	d.Server = pgserver.Start(t, pgserver.Options{
		Version: version, TLS: tls, HBA: pageLines(t, "hba certificate"), Ident: pageLines(t, ident), Settings: settings,
	})
	sql := "sql 15"
	if version >= 16 {
		sql = "sql 16"
	}
	d.MustExec(t, "CREATE ROLE app_rw LOGIN; CREATE ROLE app_ro LOGIN; CREATE ROLE stranger LOGIN; "+page(t, sql))
	d.MustExec(t, "CREATE DATABASE orders OWNER app_rw")
	return d
}

func (d *documented) setHBA(t *testing.T, lines ...string) {
	t.Helper()
	if err := d.SetHBA(context.Background(), lines...); err != nil {
		t.Fatal(err)
	}
}

// options make a broker log in to the server, as the page says for that kind of credential.
func (d *documented) options(t testing.TB, kind, pool string) Options {
	t.Helper()
	o := Options{Rules: people, Host: d.Addr(), Pool: pool, Files: map[string]string{}}
	switch kind {
	case "issuer":
		key, err := d.roles.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		o.Files["roles-ca.crt"], o.Files["roles-ca.key"] = string(d.roles.CertPEM()), string(key)
		o.Login = issuerLogin("30m")
	case "password":
		o.Files["secrets/app_rw"], o.Files["secrets/app_ro"] = "tiger\n", "lion\n"
		o.Login = "credential \"password\" {\n file = \"secrets/{role}\"\n }"
	}
	return o
}

func issuerLogin(lifetime string) string {
	return "credential \"issuer\" {\n cert_file = \"roles-ca.crt\"\n key_file = \"roles-ca.key\"\n lifetime = \"" + lifetime + "\"\n }"
}

// replacePair writes NAME.crt and NAME.key anew.
func (b *Broker) replacePair(t testing.TB, name string, leaf *pki.Leaf) {
	t.Helper()
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	b.WriteFile(t, name+".key", key)
	b.WriteFile(t, name+".crt", leaf.PEM())
}

// pollLog waits until the broker has logged a text.
func (b *Broker) pollLog(t testing.TB, text string) {
	t.Helper()
	Poll(t, fmt.Sprintf("the log to say %q", text), func() bool { return strings.Contains(b.Output(), text) })
}
