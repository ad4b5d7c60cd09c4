package e2e

import (
	"crypto/tls"
	"io"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// resume logs in with whatever tickets the configuration's cache holds, and waits until the server has
// answered: a ticket of TLS 1.3 arrives with that.
func (b *Broker) resume(t *testing.T, cfg *tls.Config) (c *Wire, resumed bool, answer Message) {
	t.Helper()
	c = b.Dial(t)
	c.Send([]byte{0, 0, 0, 8, 4, 210, 22, 47})
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(c.Conn, cfg)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	c = &Wire{Conn: conn, t: t}
	c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
	answer, err := c.Read1()
	if err != nil {
		t.Fatal(err)
	}
	if answer.Type == 'R' {
		c.ReadUntil('Z')
	}
	return c, conn.ConnectionState().DidResume, answer
}

// TestT33ResumedSessionsAreVerified: with session_tickets on, a client resumes, and is verified all the
// same: what it resumed with is refused once it is revoked, or once its CA is taken out, between two
// resumptions.
func TestT33ResumedSessionsAreVerified(t *testing.T) {
	w := Shared(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, change := range []string{"revoked", "CA removed"} {
			t.Run(tls.VersionName(version)+"/"+change, func(t *testing.T) {
				t.Parallel()
				goes := w.Root(pki.Shape{CN: "Another CA"})
				b := w.Start(t, Options{Rules: people, Listener: "session_tickets = true\n crl = [\"crls\"]", Files: map[string]string{
					"clients-ca.crt": string(w.Clients.PEM()) + string(goes.PEM()),
					"crls/a.crl":     string(CRL(t, w.Clients, pki.CRLShape{})), "crls/b.crl": string(CRL(t, goes, pki.CRLShape{})),
				}})
				leaf := w.Issue(goes, pki.Shape{CN: "alice"})
				cfg := b.TLSConfig(leaf)
				cfg.ClientSessionCache, cfg.MaxVersion = tls.NewLRUClientSessionCache(8), version
				for i := range 3 {
					c, resumed, answer := b.resume(t, cfg)
					if answer.Type != 'R' || resumed != (i > 0) {
						t.Fatalf("login %d: resumed %v, the broker says %c %s", i, resumed, answer.Type, ErrorText(answer))
					}
					c.Send(Msg('X', ""))
				}
				wantResumed, told := true, "revoked"
				if change == "revoked" {
					b.WriteCRL(t, "crls/b.crl", goes, pki.CRLShape{Number: number(2), Revoked: []pki.Revoked{pki.Revoke(leaf)}})
				} else {
					wantResumed, told = false, "not issued by a trusted CA" // a ticket is bound to the CAs
					b.WriteFile(t, "clients-ca.crt", w.Clients.PEM())
				}
				b.Records("trust.reload", 2)
				Poll(t, "the change to count", func() bool { // until then it resumes, and gets in
					c, resumed, answer := b.resume(t, cfg)
					c.Close()
					if answer.Type != 'E' {
						return false
					}
					if text := ErrorText(answer); resumed != wantResumed || !strings.HasPrefix(text, "FATAL 28000") || !strings.Contains(text, told) {
						t.Errorf("resumed %v, the broker says %s; want %v, %s", resumed, text, wantResumed, told)
					}
					return true
				})
				denial := b.Records("session.denied", 1)[0]
				if want := map[string]string{"revoked": "revoked_crl", "CA removed": "unknown_ca"}[change]; dig(denial, "denial.reason") != want {
					t.Errorf("audit: %v, want %s", denial["denial"], want)
				}
				sane(t, b.Connect(t, w.Client("bob"), "bob", "orders"))
			})
		}
	}
}
