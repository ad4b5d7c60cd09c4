package e2e

import (
	"crypto/tls"
	"io"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// ocspOf is a response of ca in DER.
func ocspOf(t *testing.T, ca *pki.CA, s pki.OCSPShape) []byte {
	t.Helper()
	der, err := ca.OCSP(s)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// stapled is a client's TLS configuration that sends a response with its certificate.
func (b *Broker) stapled(leaf *pki.Leaf, response []byte) *tls.Config {
	cfg, cert := b.TLSConfig(nil), leaf.TLS()
	cert.OCSPStaple = response
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	return cfg
}

// TestT62ClientStaples: a client's own staple counts under strict, if it is a good one, and no responder is
// asked; one that is not counts as none.
func TestT62ClientStaples(t *testing.T) {
	w := Shared(t)
	for _, mode := range []string{"strict", "lax"} {
		b := w.Start(t, Options{Rules: people, Listener: `ocsp = "` + mode + `"`})
		issue := func() *pki.Leaf { return w.Issue(w.Clients, pki.Shape{CN: "alice"}) } // names no responder
		now := time.Now()
		for _, tt := range []struct {
			name, want, lax string
			staple          func(serial *big.Int) []byte
		}{
			{"good", "", "", func(n *big.Int) []byte { return ocspOf(t, w.Clients, pki.OCSPShape{Serial: n}) }},
			{"revoked", "revoked_ocsp", "revoked_ocsp", func(n *big.Int) []byte {
				return ocspOf(t, w.Clients, pki.OCSPShape{Serial: n, Status: pki.OCSPRevoked})
			}},
			{"none", "ocsp_unavailable", "", func(*big.Int) []byte { return nil }},
			{"of yesterday", "ocsp_unavailable", "", func(n *big.Int) []byte {
				return ocspOf(t, w.Clients, pki.OCSPShape{Serial: n, ThisUpdate: now.Add(-48 * time.Hour), NextUpdate: now.Add(-24 * time.Hour)})
			}},
			{"of another certificate", "ocsp_unavailable", "", func(*big.Int) []byte { return ocspOf(t, w.Clients, pki.OCSPShape{Serial: big.NewInt(7)}) }},
			{"of another CA", "ocsp_unavailable", "", func(n *big.Int) []byte { return ocspOf(t, w.Servers, pki.OCSPShape{Serial: n, CertIDOf: w.Clients}) }},
			{"junk", "ocsp_unavailable", "", func(*big.Int) []byte { return []byte("junk") }},
		} {
			t.Run(mode+"/"+tt.name, func(t *testing.T) {
				leaf := issue()
				denied := len(b.readRecords("session.denied"))
				c, _, answer := b.resume(t, b.stapled(leaf, tt.staple(leaf.X509.SerialNumber)))
				defer c.Close()
				want := tt.want
				if mode == "lax" {
					want = tt.lax
				}
				if want == "" {
					if answer.Type != 'R' {
						t.Errorf("refused: %s", ErrorText(answer))
					}
					return
				}
				if answer.Type != 'E' || Field(answer, 'C') != "28000" {
					t.Fatalf("the broker says %c %s, want %s", answer.Type, ErrorText(answer), want)
				}
				if r := b.Records("session.denied", denied+1)[denied]; dig(r, "denial.reason") != want {
					t.Errorf("audit: %v, want %s", r["denial"], want)
				}
			})
		}
	}
}

// TestT61RefreshEndsTheSession: an answer past half its life is asked for again in the background; when
// the responder then says revoked, the certificate's sessions end, and no other.
func TestT61RefreshEndsTheSession(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	r := newResponder(t)
	issue := func() *pki.Leaf {
		return w.Issue(w.Clients, pki.Shape{CN: "alice", Ext: []pki.Extension{pki.OCSPServer(r.URL)}})
	}
	b := w.Start(t, Options{Rules: people, Listener: `ocsp = "strict"`})
	now := time.Now()
	old := func(l *pki.Leaf) []byte { // past half its life: due at once
		return ocspOf(t, w.Clients, pki.OCSPShape{Serial: l.X509.SerialNumber, ThisUpdate: now.Add(-2 * time.Hour), NextUpdate: now.Add(time.Hour)})
	}
	bad, good := issue(), issue()
	r.set(func(rw http.ResponseWriter) { // whoever is asked about, the answer is about bad
		rw.Write(ocspOf(t, w.Clients, pki.OCSPShape{Serial: bad.X509.SerialNumber, Status: pki.OCSPRevoked, ThisUpdate: time.Now().Add(-time.Minute)}))
	})
	stays, _, _ := b.resume(t, b.stapled(good, old(good)))
	goes, _, answer := b.resume(t, b.stapled(bad, old(bad)))
	if answer.Type != 'R' {
		t.Fatalf("refused: %s", ErrorText(answer))
	}
	goes.SetReadDeadline(time.Now().Add(time.Minute)) // the refresher looks every five seconds
	wantEnd(t, goes, time.Now(), "idle", "revoked")
	stays.Send(Query("select 1"))
	stays.ReadUntil('Z')
	if close := b.Records("session.close", 1)[0]; dig(close, "end.reason") != "cert_revoked" {
		t.Errorf("audit: %v", close["end"])
	}
	reload := b.Records("trust.reload", 2)[1]
	if dig(reload, "reload.cause") != "ocsp" || dig(reload, "reload.ended") != 1.0 {
		t.Errorf("audit: %v", reload["reload"])
	}
	if _, _, answer := b.resume(t, b.stapled(bad, old(bad))); Field(answer, 'C') != "28000" { // a replay of the old answer
		t.Errorf("a new login reads %c %s", answer.Type, ErrorText(answer))
	}
}

// TestT61OwnStaple: the listener's certificate comes with its responder's word, if that is good and the
// issuer is in the file; one that is revoked is said so in the log and never stapled.
func TestT61OwnStaple(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	for _, status := range []pki.OCSPStatus{pki.OCSPGood, pki.OCSPRevoked} {
		r := newResponder(t)
		shape := pki.ServerShape()
		shape.Ext = []pki.Extension{pki.OCSPServer(r.URL)}
		server := w.Issue(w.Servers, shape)
		der := ocspOf(t, w.Servers, pki.OCSPShape{Serial: server.X509.SerialNumber, Status: status})
		r.set(func(rw http.ResponseWriter) { rw.Write(der) })
		b := w.Start(t, Options{Rules: people, Server: server, Files: map[string]string{
			"server.crt": string(server.PEM()) + string(w.Servers.PEM()),
		}})
		staple := func() []byte {
			c := b.Dial(t)
			defer c.Close()
			c.Send([]byte{0, 0, 0, 8, 4, 210, 22, 47})
			io.ReadFull(c, make([]byte, 1))
			conn := tls.Client(c.Conn, b.TLSConfig(w.Client("alice")))
			if err := conn.Handshake(); err != nil {
				t.Fatal(err)
			}
			return conn.ConnectionState().OCSPResponse
		}
		if status == pki.OCSPGood {
			Poll(t, "a staple", func() bool { return string(staple()) == string(der) })
			continue
		}
		Poll(t, "the log to tell", func() bool { return b.Find("certificates not reloaded") != nil })
		if got := staple(); got != nil {
			t.Errorf("%d bytes are stapled for a revoked certificate", len(got))
		}
		sane(t, b.Connect(t, w.Client("bob"), "bob", "orders"))
	}
}
