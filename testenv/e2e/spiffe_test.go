package e2e

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/fakespiffe"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

const spiffeRules = `
map "workload" {
  match { spiffe = "/^spiffe://a[.]example/ns/[a-z]+/sa/(alice|bob)$" }
  role      = "$1"
  databases = ["orders"]
}
`

// TestT27WorkloadAPI: the listener's certificate and its trust domains come from a Workload API alone. Both
// rotate while sessions live: a CA that stays or comes ends nobody, one that is taken out ends those
// that it alone vouched for, within the time of a changed file; what the API breaks off costs nothing.
func TestT27WorkloadAPI(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	ca := func(cn string) *pki.CA {
		return w.Root(pki.Shape{CN: cn, SAN: []pki.GeneralName{pki.URIName("spiffe://a.example")}})
	}
	old, next := ca("Old Domain CA"), ca("New Domain CA")
	svid := func(bundle ...*pki.CA) (*fakespiffe.Answer, *pki.Leaf) {
		shape := pki.ServerShape()
		shape.SPIFFE = "spiffe://a.example/ns/db/sa/broker"
		leaf := w.Issue(w.Servers, shape)
		key, err := x509.MarshalPKCS8PrivateKey(leaf.Key)
		if err != nil {
			t.Fatal(err)
		}
		a := &fakespiffe.Answer{SVID: leaf.DER, Key: key}
		for _, c := range bundle {
			a.Bundle = append(a.Bundle, c.DER...)
		}
		return a, leaf
	}
	client := func(c *pki.CA, name string) *pki.Leaf {
		return w.Issue(c, pki.Shape{CN: name, SPIFFE: "spiffe://a.example/ns/web/sa/" + name})
	}
	dir, err := os.MkdirTemp("", "spiffe") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	first, serverLeaf := svid(old)
	api := fakespiffe.Start(t, filepath.Join(dir, "api"), first)
	path := w.WriteConfig(t, Options{Rules: spiffeRules, Listener: "spiffe { workload_api = \"unix://" + filepath.Join(dir, "api") + "\" }"})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	own := "  cert_file = \"server.crt\"\n  key_file  = \"server.key\"\n  client_ca = [\"clients-ca.crt\"]\n"
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), own, "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	b := w.StartConfig(t, path)
	serves := func(leaf *pki.Leaf) bool {
		c := b.DialTLS(t, nil)
		defer c.Close()
		return c.ServerCertificate().Equal(leaf.X509)
	}
	if !serves(serverLeaf) {
		t.Error("the API's first certificate is not served")
	}
	goes := b.open(t, client(old, "alice"), "alice", "orders")
	if c := b.DialTLS(t, client(next, "bob")); true {
		c.Send(Startup(3<<16, "user", "bob", "database", "orders"))
		if m := c.ReadError(); Field(m, 'C') != "28000" {
			t.Errorf("the next CA counts before the API named it: %s", ErrorText(m))
		}
	}

	both, second := svid(old, next)
	api.Push(both, fakespiffe.OK)
	Poll(t, "the second certificate", func() bool { return serves(second) })
	stays := b.Connect(t, client(next, "bob"), "bob", "orders")
	sane(t, stays)

	api.Push(both, fakespiffe.PermissionDenied) // the agent restarts: what it said stays in force
	sane(t, b.Connect(t, client(old, "alice"), "alice", "orders"))

	last, third := svid(next)
	since := time.Now()
	api.Push(last, fakespiffe.OK)
	wantEnd(t, goes, since, "of the old CA", "not issued by")
	Poll(t, "the third certificate", func() bool { return serves(third) })
	sane(t, stays)
	if _, err := b.TryConnect(client(old, "alice"), "alice", "orders"); SQLState(err) != "28000" {
		t.Errorf("the old CA's next login: %v", err)
	}
}
