package e2e

import (
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
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
	revoked := w.Client("alice")
	stale, forged, scoped, delta := w.Root(pki.Shape{CN: "Stale"}), w.Root(pki.Shape{CN: "Forged"}), w.Root(pki.Shape{CN: "Scoped"}), w.Root(pki.Shape{CN: "Delta"})
	namesake := w.Root(pki.Shape{RawSubject: forged.X509.RawSubject})
	alice := func(ca *pki.CA) *pki.Leaf { return w.Issue(ca, pki.Shape{CN: "alice"}) }
	onDelta := alice(delta)
	files := map[string]string{
		"crls/clients.crl": string(CRL(t, w.Clients, pki.CRLShape{Revoked: []pki.Revoked{pki.Revoke(revoked)}})),
		"crls/stale.crl":   string(CRL(t, stale, pki.CRLShape{ThisUpdate: now.Add(-72 * time.Hour), NextUpdate: now.Add(-48 * time.Hour)})),
		"crls/forged.crl":  string(CRL(t, namesake, pki.CRLShape{})),
		"crls/forged2.crl": string(CRL(t, forged, pki.CRLShape{SignedBy: namesake.Key})),
		"crls/scoped.crl":  string(CRL(t, scoped, pki.CRLShape{IDP: &pki.IDP{OnlyCA: true}})),
		"crls/scoped2.crl": string(CRL(t, scoped, pki.CRLShape{IDP: &pki.IDP{Indirect: true}})),
		"crls/scoped3.crl": string(CRL(t, scoped, pki.CRLShape{IDP: &pki.IDP{OnlySomeReasons: true}})),
		"crls/delta.crl":   string(CRL(t, delta, pki.CRLShape{})),
		"crls/delta2.crl":  string(CRL(t, delta, pki.CRLShape{Number: big.NewInt(2), DeltaBase: big.NewInt(1), Revoked: []pki.Revoked{pki.Revoke(onDelta)}})),
		"crls/junk.crl":    "junk",
	}
	for _, ca := range []*pki.CA{w.Clients, stale, forged, scoped, delta} {
		files["clients-ca.crt"] += string(ca.PEM())
	}
	runAttacks(t, Options{Listener: "crl = [\"crls\"]\n crl_policy = \"strict\"", Files: files}, []attack{
		{name: "A56 revoked leaf", leaf: revoked, want: "revoked_crl", told: "revoked"},
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

// TestA66ToA70OCSP: what a responder says, does not say, or does to who asks.
func TestA66ToA70OCSP(t *testing.T) {
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
	hangs := func(rw http.ResponseWriter) { <-time.After(3 * time.Second) }
	for _, mode := range []string{"strict", "lax"} {
		// The handshake's deadline is shorter than the responder's: the wait is none of its (T60).
		b := w.Start(t, Options{Rules: attackRules, Listener: "handshake_timeout = \"1s\"\n ocsp = \"" + mode + "\""})
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
			for _, o := range b.Records("session.open", 8) {
				if list, _ := dig(o, "cert.tolerated").([]any); len(list) == 1 && list[0] == "ocsp_unavailable" {
					tolerated++
				}
			}
			if tolerated != 7 {
				t.Errorf("%d logins are audited as tolerated, want 7", tolerated)
			}
		}
	}
}
