package e2e

import (
	"crypto/tls"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestA56ToA64CRLs is the catalogue's section on revocation lists, each case with a real login: three
// CAs with lists that do not count, or do.
func TestA56ToA64CRLs(t *testing.T) {
	w := Shared(t)
	now := time.Now()
	revoked, another := w.Client("alice"), w.Client("alice")
	stale, forged, scoped, delta := w.Root(pki.Shape{CN: "Stale"}), w.Root(pki.Shape{CN: "Forged"}), w.Root(pki.Shape{CN: "Scoped"}), w.Root(pki.Shape{CN: "Delta"})
	namesake := w.Root(pki.Shape{RawSubject: forged.X509.RawSubject})
	alice := func(ca *pki.CA) *pki.Leaf { return w.Issue(ca, pki.Shape{CN: "alice"}) }
	onDelta := alice(delta)
	files := map[string]string{
		"crls/clients.crl": string(CRL(t, w.Clients, pki.CRLShape{Revoked: []pki.Revoked{pki.Revoke(revoked), pki.Revoke(another)}})),
		"crls/stale.crl":   string(CRL(t, stale, pki.CRLShape{ThisUpdate: now.Add(-72 * time.Hour), NextUpdate: now.Add(-48 * time.Hour)})),
		"crls/forged.crl":  string(CRL(t, namesake, pki.CRLShape{})),
		"crls/forged2.crl": string(CRL(t, forged, pki.CRLShape{SignedBy: namesake.Key})),
		"crls/scoped.crl":  string(CRL(t, scoped, pki.CRLShape{IDP: &pki.IDP{OnlyCA: true}})),
		"crls/scoped2.crl": string(CRL(t, scoped, pki.CRLShape{IDP: &pki.IDP{Indirect: true}})),
		"crls/scoped3.crl": string(CRL(t, scoped, pki.CRLShape{IDP: &pki.IDP{OnlySomeReasons: true}})),
		"crls/delta.crl":   string(CRL(t, delta, pki.CRLShape{})),
		"crls/delta2.crl":  string(CRL(t, delta, pki.CRLShape{Number: big.NewInt(2), DeltaBase: big.NewInt(1), Revoked: []pki.Revoked{pki.Revoke(onDelta)}})),
		"crls/junk.crl":    "junk",
		"crls/cut.crl":     string(CRL(t, w.Clients, pki.CRLShape{}))[:200],
		"crls/v1.crl":      string(CRL(t, w.Clients, pki.CRLShape{Version: 1})),
	}
	for _, ca := range []*pki.CA{w.Clients, stale, forged, scoped, delta} {
		files["clients-ca.crt"] += string(ca.PEM())
	}
	runAttacks(t, Options{Listener: "crl = [\"crls\"]\n crl_policy = \"strict\"", Files: files}, []attack{
		{name: "A56 revoked leaf", leaf: revoked, want: "revoked_crl", told: "revoked"},
		{name: "A64 beside junk", leaf: another, want: "revoked_crl", told: "revoked"},
		{name: "A56 its neighbour", leaf: alice(w.Clients), want: "ok"},
		{name: "A58 stale", leaf: alice(stale), want: "crl_stale", told: "Stale"},
		{name: "A59 by another key", leaf: alice(forged), want: "crl_stale"},
		{name: "A61 delta", leaf: onDelta, want: "ok"},
		{name: "A62 scopes", leaf: alice(scoped), want: "crl_stale"},
	})
}

// responder is an OCSP responder that says what it is told to.
type responder struct {
	*httptest.Server
	answer atomic.Pointer[func(http.ResponseWriter)]
}

func newResponder(t *testing.T) *responder {
	r := &responder{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		(*r.answer.Load())(w)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *responder) set(f func(http.ResponseWriter)) { r.answer.Store(&f) }

// TestA66ToA71OCSP: what a responder says, does not say, or does to who asks.
func TestA66ToA71OCSP(t *testing.T) {
	w := Shared(t)
	r := newResponder(t)
	issue := func() *pki.Leaf {
		return w.Issue(w.Clients, pki.Shape{CN: "alice", Ext: []pki.Extension{pki.OCSPServer(r.URL)}})
	}
	says := func(s pki.OCSPShape) func(http.ResponseWriter) {
		der, err := w.Clients.OCSP(s)
		if err != nil {
			t.Fatal(err)
		}
		return func(w http.ResponseWriter) { w.Write(der) }
	}
	delegate := func(ca *pki.CA, s pki.Shape) func(l *pki.Leaf) func(http.ResponseWriter) {
		return func(l *pki.Leaf) func(http.ResponseWriter) {
			return says(pki.OCSPShape{Serial: l.X509.SerialNumber, Responder: w.Issue(ca, s)})
		}
	}
	signing := []pki.OID{pki.EKUOCSPSigning}
	hangs := func(rw http.ResponseWriter) { <-time.After(3 * time.Second) }
	for _, mode := range []string{"strict", "lax"} {
		// The handshake's deadline is shorter than the responder's: the wait is none of its (T60).
		boss := w.Issue(w.Clients, pki.Shape{CN: "boss", Ext: []pki.Extension{pki.OCSPServer(r.URL)}})
		r.set(says(pki.OCSPShape{Serial: boss.X509.SerialNumber}))
		b := underWatchBy(t, boss, "127.0.0.1", Options{Rules: attackRules, Listener: "handshake_timeout = \"1900ms\"\n ocsp = \"" + mode + "\""})
		none := map[string]string{"strict": "ocsp_unavailable", "lax": "ok"}[mode]
		for _, tt := range []struct {
			name, want string
			answer     func(l *pki.Leaf) func(http.ResponseWriter)
		}{
			{"A66 good", "ok", func(l *pki.Leaf) func(http.ResponseWriter) { return says(pki.OCSPShape{Serial: l.X509.SerialNumber}) }},
			{"A66 revoked", "revoked_ocsp", func(l *pki.Leaf) func(http.ResponseWriter) {
				return says(pki.OCSPShape{Serial: l.X509.SerialNumber, Status: pki.OCSPRevoked})
			}},
			{"A66 unknown", none, func(l *pki.Leaf) func(http.ResponseWriter) {
				return says(pki.OCSPShape{Serial: l.X509.SerialNumber, Status: pki.OCSPUnknown})
			}},
			{"A66 tryLater", none, func(*pki.Leaf) func(http.ResponseWriter) {
				return func(w http.ResponseWriter) { w.Write(pki.OCSPError(3)) }
			}},
			{"A67 replay", none, func(l *pki.Leaf) func(http.ResponseWriter) {
				return says(pki.OCSPShape{Serial: l.X509.SerialNumber, ThisUpdate: time.Now().Add(-48 * time.Hour), NextUpdate: time.Now().Add(-24 * time.Hour)})
			}},
			{"A69 another serial", none, func(*pki.Leaf) func(http.ResponseWriter) { return says(pki.OCSPShape{Serial: big.NewInt(1)}) }},
			{"A68 a delegate", "ok", delegate(w.Clients, pki.Shape{CN: "OCSP", EKU: signing})},
			{"A68 without OCSPSigning", none, delegate(w.Clients, pki.Shape{CN: "OCSP"})},
			{"A68 expired delegate", none, delegate(w.Clients, pki.Shape{CN: "OCSP", EKU: signing, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})},
			{"A68 another CA's delegate", none, delegate(w.Servers, pki.Shape{CN: "OCSP", EKU: signing})},
			{"A71 another question's nonce", none, func(l *pki.Leaf) func(http.ResponseWriter) {
				return says(pki.OCSPShape{Serial: l.X509.SerialNumber, Nonce: []byte("of a question that we never asked")})
			}},
			{"A70 hangs", none, func(*pki.Leaf) func(http.ResponseWriter) { return hangs }},
			{"A70 redirects", none, func(*pki.Leaf) func(http.ResponseWriter) {
				return func(w http.ResponseWriter) {
					w.Header().Set("Location", "http://169.254.169.254/")
					w.WriteHeader(http.StatusFound)
				}
			}},
			{"A70 a megabyte", none, func(*pki.Leaf) func(http.ResponseWriter) {
				return func(w http.ResponseWriter) { w.Write(make([]byte, 1<<20)) }
			}},
		} {
			t.Run(mode+"/"+tt.name, func(t *testing.T) {
				leaf := issue()
				r.set(tt.answer(leaf))
				began := time.Now()
				if tt.want != "ok" {
					b.wantRefusal(t, attack{leaf: leaf, want: tt.want, user: "alice", database: "orders"})
				} else {
					b.open(t, leaf, "alice", "orders")
				}
				if took := time.Since(began); took > 60*time.Second {
					t.Errorf("took %v: three logins, each at most 2 s for the responder", took)
				}
			})
		}
		if mode == "lax" {
			tolerated := 0
			for _, o := range b.Records("session.open", 14) {
				if list, _ := dig(o, "cert.tolerated").([]any); len(list) == 1 && list[0] == "ocsp_unavailable" {
					tolerated++
				}
			}
			if tolerated != 11 { // no answer at all, or none that counts
				t.Errorf("%d logins are audited as tolerated, want 11", tolerated)
			}
		}
		b.undisturbed(t)
	}
}

// TestA60OlderCRL: a list with a lower number does not take the newer one's place, whatever it says.
func TestA60OlderCRL(t *testing.T) {
	w := Shared(t)
	revoked := w.Client("alice")
	b := underWatch(t, Options{Listener: `crl = ["crls"]`, Files: map[string]string{
		"crls/clients.crl": string(CRL(t, w.Clients, pki.CRLShape{Number: number(5), Revoked: []pki.Revoked{pki.Revoke(revoked)}})),
	}})
	old := pki.CRLShape{Number: number(4)}
	for i, put := range []func(){
		func() { b.WriteCRL(t, "crls/older.crl", w.Clients, old) },
		func() { b.WriteCRL(t, "crls/clients.crl", w.Clients, old) },
	} {
		put()
		b.Records("trust.reload", i+2) // the first is of the start
		if _, err := b.TryConnect(revoked, "alice", "orders"); err == nil || !strings.Contains(err.Error(), "revoked") {
			t.Errorf("with an older list in its place the client is told %v, want that it is revoked", err)
		}
	}
	for _, r := range b.Records("session.denied", 1) {
		if got := dig(r, "denial.reason"); got != "revoked_crl" {
			t.Errorf("audited as %v, want revoked_crl", got)
		}
	}
	Poll(t, "the log to tell", func() bool { return strings.Contains(b.Output(), "crl_rollback") })
	b.undisturbed(t)
}

// TestA72Staple: an answer that the client brings for its own certificate counts when it is good, and
// is no answer when it is not.
func TestA72Staple(t *testing.T) {
	w := Shared(t)
	r := newResponder(t)
	say := func(ca *pki.CA, s pki.OCSPShape) []byte {
		der, err := ca.OCSP(s)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	issue := func(cn string) *pki.Leaf {
		return w.Issue(w.Clients, pki.Shape{CN: cn, Ext: []pki.Extension{pki.OCSPServer(r.URL)}})
	}
	boss := issue("boss")
	r.set(func(rw http.ResponseWriter) { rw.Write(say(w.Clients, pki.OCSPShape{Serial: boss.X509.SerialNumber})) })
	b := underWatchBy(t, boss, "127.0.0.1", Options{Listener: `ocsp = "strict"`})
	r.set(func(rw http.ResponseWriter) { rw.Write(pki.OCSPError(3)) }) // tryLater
	for _, tt := range []struct {
		name, want string
		staple     func(serial *big.Int) []byte
	}{
		{"A72 good", "ok", func(n *big.Int) []byte { return say(w.Clients, pki.OCSPShape{Serial: n}) }},
		{"A72 revoked", "revoked_ocsp", func(n *big.Int) []byte { return say(w.Clients, pki.OCSPShape{Serial: n, Status: pki.OCSPRevoked}) }},
		{"A72 none", "ocsp_unavailable", func(n *big.Int) []byte { return nil }},
		{"A72 garbage", "ocsp_unavailable", func(n *big.Int) []byte { return []byte("x") }},
		{"A72 cut short", "ocsp_unavailable", func(n *big.Int) []byte {
			good := say(w.Clients, pki.OCSPShape{Serial: n})
			return good[:len(good)-1]
		}},
		{"A72 another certificate's", "ocsp_unavailable", func(n *big.Int) []byte { return say(w.Clients, pki.OCSPShape{Serial: number(1)}) }},
		{"A72 by another CA", "ocsp_unavailable", func(n *big.Int) []byte { return say(w.Servers, pki.OCSPShape{Serial: n, CertIDOf: w.Clients}) }},
		{"A72 too old", "ocsp_unavailable", func(n *big.Int) []byte {
			return say(w.Clients, pki.OCSPShape{Serial: n, ThisUpdate: time.Now().Add(-48 * time.Hour), NextUpdate: time.Now().Add(-24 * time.Hour)})
		}},
		{"A72 too long", "ocsp_unavailable", func(n *big.Int) []byte { return make([]byte, 60<<10) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaf := issue("alice")
			cfg := b.TLSConfig(nil)
			cert := leaf.TLS()
			cert.OCSPStaple = tt.staple(leaf.X509.SerialNumber)
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			c := b.Dial(t).answered(sslRequest, 'S').encrypted(cfg)
			c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
			if tt.want == "ok" {
				c.ReadUntil('Z')
				c.Send(Msg('X', ""))
				return
			}
			m := c.ReadError()
			if Field(m, 'S') != "FATAL" || Field(m, 'C') != "28000" {
				t.Errorf("the client reads %s", ErrorText(m))
			}
			b.wantDenial(t, m, attack{leaf: leaf, want: tt.want, code: "28000"})
		})
	}
	b.undisturbed(t)
}
