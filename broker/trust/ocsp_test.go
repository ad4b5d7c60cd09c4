package trust

import (
	"bytes"
	"encoding/asn1"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
	"golang.org/x/crypto/ocsp"
)

// responder is an OCSP responder whose answer a test sets.
type responder struct {
	*httptest.Server
	asked atomic.Int64

	mu     sync.Mutex
	answer http.HandlerFunc
}

func newResponder(t testing.TB) *responder {
	r := &responder{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.asked.Add(1)
		r.mu.Lock()
		answer := r.answer
		r.mu.Unlock()
		answer(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *responder) set(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// says makes the responder send these bytes.
func (r *responder) says(der []byte) {
	r.set(func(w http.ResponseWriter, _ *http.Request) { w.Write(der) })
}

// ocspFixture is a listener that asks a responder about alice.
type ocspFixture struct {
	*fixture
	responder *responder
	alice     *pki.Leaf
}

func newOCSPFixture(t testing.TB) *ocspFixture {
	f := &ocspFixture{fixture: newFixture(t), responder: newResponder(t)}
	f.cfg.OCSP = ocspStrict
	f.alice = f.client(pki.Shape{Ext: []pki.Extension{pki.OCSPServer(f.responder.URL)}})
	return f
}

// about is a response by ca about alice.
func (f *ocspFixture) about(ca *pki.CA, s pki.OCSPShape) []byte {
	f.t.Helper()
	if s.Serial == nil {
		s.Serial = f.alice.X509.SerialNumber
	}
	der, err := ca.OCSP(s)
	if err != nil {
		f.t.Fatal(err)
	}
	return der
}

// verdict verifies once, on a fresh snapshot.
func (f *ocspFixture) verdict(mode string, staple []byte) (*Verified, error) {
	f.t.Helper()
	f.cfg.OCSP = mode
	return f.load(nil).Verify(f.t.Context(), peer(f.t, f.alice), staple, time.Now())
}

// noAnswer: strict refuses, lax admits and says so.
func (f *ocspFixture) noAnswer(t *testing.T) {
	t.Helper()
	_, err := f.verdict(ocspStrict, nil)
	no(OCSPUnavailable).compare(t, nil, err)
	v, err := f.verdict(ocspLax, nil)
	yes.compare(t, v, err)
	if v.Revocation != "none" || len(v.Tolerated()) != 1 || v.Tolerated()[0] != OCSPUnavailable {
		t.Errorf("lax: revocation %q, tolerated %v", v.Revocation, v.Tolerated())
	}
}

// TestA66OCSP: good, revoked, unknown, tryLater (T61).
func TestA66OCSP(t *testing.T) {
	f := newOCSPFixture(t)
	f.responder.says(f.about(f.Clients, pki.OCSPShape{}))
	for _, mode := range []string{ocspStrict, ocspLax} {
		v, err := f.verdict(mode, nil)
		yes.compare(t, v, err)
		if v.Revocation != "ocsp" || len(v.Tolerated()) != 0 {
			t.Errorf("%s: revocation %q, tolerated %v", mode, v.Revocation, v.Tolerated())
		}
	}
	f.responder.says(f.about(f.Clients, pki.OCSPShape{Status: pki.OCSPRevoked}))
	for _, mode := range []string{ocspStrict, ocspLax} {
		_, err := f.verdict(mode, nil)
		want{"revoked_ocsp", "revoked since"}.compare(t, nil, err)
	}
	asked := f.responder.asked.Load()
	v, err := f.verdict(ocspOffMode, nil)
	yes.compare(t, v, err)
	if f.responder.asked.Load() != asked {
		t.Error("asked although ocsp is off")
	}
	for name, der := range map[string][]byte{
		"unknown": f.about(f.Clients, pki.OCSPShape{Status: pki.OCSPUnknown}), "tryLater": pki.OCSPError(3),
		"malformedRequest": pki.OCSPError(1), "empty": nil, "garbage": []byte("garbage"),
	} {
		t.Run(name, func(t *testing.T) { f.responder.says(der); f.noAnswer(t) })
	}
}

// TestA67OldOCSP: outside thisUpdate and nextUpdate there is no answer (T59).
func TestA67OldOCSP(t *testing.T) {
	f := newOCSPFixture(t)
	now := time.Now()
	for name, s := range map[string]pki.OCSPShape{
		"past nextUpdate":           {ThisUpdate: now.Add(-2 * time.Hour), NextUpdate: now.Add(-time.Second)},
		"no nextUpdate, an hour on": {ThisUpdate: now.Add(-time.Hour - time.Second), NoNextUpdate: true},
		"from the future":           {ThisUpdate: now.Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) { f.responder.says(f.about(f.Clients, s)); f.noAnswer(t) })
	}
	f.responder.says(f.about(f.Clients, pki.OCSPShape{ThisUpdate: now.Add(-50 * time.Minute), NoNextUpdate: true}))
	v, err := f.verdict(ocspStrict, nil)
	yes.compare(t, v, err)
}

// TestA67Replay: an older "good" never replaces a "revoked".
func TestA67Replay(t *testing.T) {
	f := newOCSPFixture(t)
	now := time.Now()
	f.responder.says(f.about(f.Clients, pki.OCSPShape{Status: pki.OCSPRevoked, ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}))
	old := f.about(f.Clients, pki.OCSPShape{ThisUpdate: now.Add(-2 * time.Hour), NextUpdate: now.Add(4 * time.Hour)})
	s := f.load(nil)
	p := peer(t, f.alice)
	_, err := s.Verify(t.Context(), p, nil, now)
	no(RevokedOCSP).compare(t, nil, err)
	_, err = s.Verify(t.Context(), p, old, now)
	no(RevokedOCSP).compare(t, nil, err)
	// "Revoked" outlives its nextUpdate while nobody says otherwise.
	f.responder.says(pki.OCSPError(3))
	_, err = s.Verify(t.Context(), p, nil, now.Add(2*time.Hour))
	no(RevokedOCSP).compare(t, nil, err)
}

// TestA68Delegates (T59).
func TestA68Delegates(t *testing.T) {
	f := newOCSPFixture(t)
	other := f.Root(pki.Shape{CN: "Other"})
	delegate := pki.Shape{CN: "OCSP", EKU: []pki.OID{pki.EKUOCSPSigning}}
	with := func(change func(*pki.Shape)) pki.Shape { s := delegate; change(&s); return s }
	for _, tt := range []struct {
		name string
		ca   *pki.CA
		s    pki.Shape
		ok   bool
	}{
		{"good", f.Clients, delegate, true},
		{"without OCSPSigning", f.Clients, with(func(s *pki.Shape) { s.EKU = []pki.OID{pki.EKUClientAuth} }), false},
		{"any purpose", f.Clients, with(func(s *pki.Shape) { s.EKU = []pki.OID{pki.EKUAny} }), false},
		{"no EKU", f.Clients, with(func(s *pki.Shape) { s.Omit = []pki.OID{pki.OIDExtKeyUsage} }), false},
		{"expired", f.Clients, with(func(s *pki.Shape) { s.NotAfter = time.Now().Add(-time.Second) }), false},
		{"not yet valid", f.Clients, with(func(s *pki.Shape) { s.NotBefore = time.Now().Add(time.Hour) }), false},
		{"of another CA", other, delegate, false},
		{"issued under another name", f.Clients, with(func(s *pki.Shape) { s.Issuer = pki.Name{pki.CN("Other")} }), false},
		{"signed by another key", f.Clients, with(func(s *pki.Shape) { s.SignedBy = other.Key }), false},
		{"weak key", f.Clients, with(func(s *pki.Shape) { s.Kind = pki.RSA1024 }), false},
		{"signed with SHA-1", f.Clients, with(func(s *pki.Shape) { s.SigAlg = pki.ECDSAWithSHA1 }), false},
		{"unknown critical extension", f.Clients, with(func(s *pki.Shape) { s.Ext = []pki.Extension{critical(pki.StringExtension(oidTeam, 0, "x"))} }), false},
		{"may not sign", f.Clients, with(func(s *pki.Shape) { s.KeyUsage = []pki.KeyUsageBit{pki.KeyEncipherment} }), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signer := f.Issue(tt.ca, tt.s)
			for _, byKey := range []bool{false, true} {
				f.responder.says(f.about(f.Clients, pki.OCSPShape{Responder: signer, ByKey: byKey}))
				if !tt.ok {
					f.noAnswer(t)
					continue
				}
				v, err := f.verdict(ocspStrict, nil)
				yes.compare(t, v, err)
			}
		})
	}
	t.Run("responder ID of another", func(t *testing.T) {
		f.responder.says(f.about(f.Clients, pki.OCSPShape{ResponderID: f.alice.X509}))
		f.noAnswer(t)
	})
	t.Run("a delegate that is not the one named", func(t *testing.T) {
		f.responder.says(f.about(f.Clients, pki.OCSPShape{Responder: f.Issue(f.Clients, delegate), ResponderID: f.alice.X509}))
		f.noAnswer(t)
	})
	t.Run("the CA embeds itself", func(t *testing.T) {
		f.responder.says(f.about(f.Clients, pki.OCSPShape{Embed: []*pki.Leaf{&f.Clients.Leaf}, ByKey: true}))
		v, err := f.verdict(ocspStrict, nil)
		yes.compare(t, v, err)
	})
	t.Run("the one before it is sent too", func(t *testing.T) {
		old := f.Issue(f.Clients, with(func(s *pki.Shape) { s.NotAfter = time.Now().Add(-time.Second) }))
		renewed := f.Issue(f.Clients, delegate)
		f.responder.says(f.about(f.Clients, pki.OCSPShape{Responder: old, SignedBy: renewed.Key, Embed: []*pki.Leaf{renewed}}))
		v, err := f.verdict(ocspStrict, nil)
		yes.compare(t, v, err)
	})
	t.Run("revoked delegate", func(t *testing.T) {
		signer := f.Issue(f.Clients, delegate)
		list, err := f.Clients.CRL(revoke(signer))
		if err != nil {
			t.Fatal(err)
		}
		g := *f
		fx := *f.fixture
		g.fixture = &fx
		g.cfg.CRL = []string{f.write("d.crl", list)}
		f.responder.says(f.about(f.Clients, pki.OCSPShape{Responder: signer}))
		_, err = g.verdict(ocspStrict, nil)
		no(OCSPUnavailable).compare(t, nil, err)
	})
}

// TestA69OtherIssuer: all of the CertID counts, not the serial alone (T59).
func TestA69OtherIssuer(t *testing.T) {
	f := newOCSPFixture(t)
	other, twin := f.Root(pki.Shape{CN: "Other"}), f.Root(pki.Shape{CN: "Test Clients CA"})
	for name, s := range map[string]pki.OCSPShape{
		"another CA's name and key": {CertIDOf: other},
		"its name, another key":     {CertIDOf: twin},
		"another serial":            {Serial: f.Client("bob").X509.SerialNumber},
	} {
		t.Run(name, func(t *testing.T) { f.responder.says(f.about(f.Clients, s)); f.noAnswer(t) })
	}
	t.Run("signed by another CA", func(t *testing.T) {
		f.responder.says(f.about(twin, pki.OCSPShape{CertIDOf: f.Clients}))
		f.noAnswer(t)
	})
	for name, s := range map[string]pki.OCSPShape{
		"SHA-256 CertID":   {SHA256: true},
		"among others":     {Others: []pki.OCSPShape{{Serial: f.Client("bob").X509.SerialNumber, Status: pki.OCSPRevoked}}},
		"responder by key": {ByKey: true},
	} {
		t.Run(name, func(t *testing.T) {
			f.responder.says(f.about(f.Clients, s))
			v, err := f.verdict(ocspStrict, nil)
			yes.compare(t, v, err)
		})
	}
	t.Run("revoked beside good", func(t *testing.T) {
		f.responder.says(f.about(f.Clients, pki.OCSPShape{
			Others: []pki.OCSPShape{{Serial: f.alice.X509.SerialNumber, Status: pki.OCSPRevoked}}}))
		_, err := f.verdict(ocspStrict, nil)
		no(RevokedOCSP).compare(t, nil, err)
	})
	t.Run("weak or wrong signature", func(t *testing.T) {
		f.responder.says(f.about(f.Clients, pki.OCSPShape{SigAlg: pki.ECDSAWithSHA1}))
		f.noAnswer(t)
		f.responder.says(f.about(f.Clients, pki.OCSPShape{SignedBy: other.Key}))
		f.noAnswer(t)
	})
	t.Run("critical extensions", func(t *testing.T) {
		ext := []pki.Extension{critical(pki.StringExtension(oidTeam, 0, "x"))}
		f.responder.says(f.about(f.Clients, pki.OCSPShape{Ext: ext}))
		f.noAnswer(t)
		f.responder.says(f.about(f.Clients, pki.OCSPShape{SingleExt: ext}))
		f.noAnswer(t)
	})
}

// TestA70HostileResponder: neither time nor memory nor other hosts are to be had (T60).
func TestA70HostileResponder(t *testing.T) {
	f := newOCSPFixture(t)
	elsewhere := newResponder(t)
	elsewhere.says(f.about(f.Clients, pki.OCSPShape{}))
	stop := make(chan struct{})
	for name, answer := range map[string]http.HandlerFunc{
		"1 GB": func(w http.ResponseWriter, _ *http.Request) {
			for range 1 << 14 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"metadata": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
		},
		"status 500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"hangs": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-stop:
			case <-r.Context().Done():
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f.responder.set(answer)
			start := time.Now()
			f.noAnswer(t)
			if d := time.Since(start); d > 2*10*ocspTimeout {
				t.Errorf("two verifications took %s", d)
			}
		})
	}
	close(stop)
	if elsewhere.asked.Load() != 0 {
		t.Error("a redirect was followed")
	}
	for _, u := range []string{"http://169.254.169.254/", "http://[fe80::1]/", "http://[::ffff:169.254.1.1]:80/", "http://0.0.0.0/",
		"ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "file:///etc/passwd", "ldap://127.0.0.1/"} {
		t.Run(u, func(t *testing.T) {
			f.alice = f.client(pki.Shape{Ext: []pki.Extension{pki.OCSPServer(u)}})
			f.noAnswer(t)
		})
	}
	t.Run("strangers are not asked about", func(t *testing.T) {
		f.responder.says(nil)
		asked := f.responder.asked.Load()
		stranger := f.Issue(f.Root(pki.Shape{CN: "X"}), pki.Shape{CN: "x", Ext: []pki.Extension{pki.OCSPServer(f.responder.URL)}})
		no(UnknownCA).check(t, f.load(nil), peer(t, stranger), time.Now())
		if f.responder.asked.Load() != asked {
			t.Error("asked")
		}
	})
}

// TestA71Nonce: another nonce is no answer, none is one.
func TestA71Nonce(t *testing.T) {
	f := newOCSPFixture(t)
	f.responder.says(f.about(f.Clients, pki.OCSPShape{Nonce: []byte("somebody else's nonce, 32 octets")}))
	f.noAnswer(t)
	f.responder.set(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		req, err := ocsp.ParseRequest(raw)
		if err != nil || req.SerialNumber.Cmp(f.alice.X509.SerialNumber) != 0 {
			t.Errorf("x/crypto reads the request as %+v, %v", req, err)
		}
		i := bytes.Index(raw, nonceHeader(t))
		w.Write(f.about(f.Clients, pki.OCSPShape{Nonce: raw[i+len(nonceHeader(t)):][4:]}))
	})
	v, err := f.verdict(ocspStrict, nil)
	yes.compare(t, v, err)
}

// nonceHeader is the nonce's OID in DER; an OCTET STRING in an OCTET STRING follows.
func nonceHeader(t *testing.T) []byte {
	oid, err := asn1.Marshal(oidOCSPNonce)
	if err != nil {
		t.Fatal(err)
	}
	return oid
}
