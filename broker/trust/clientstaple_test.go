package trust

import (
	"bytes"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestA72Staple: a good one counts and saves the question, a bad one counts as none (T62).
func TestA72Staple(t *testing.T) {
	f := newOCSPFixture(t)
	f.responder.says(pki.OCSPError(3))
	good := f.about(f.Clients, pki.OCSPShape{})
	v, err := f.verdict(ocspStrict, good)
	yes.compare(t, v, err)
	if f.responder.asked.Load() != 0 {
		t.Error("asked in spite of a good staple")
	}
	_, err = f.verdict(ocspStrict, f.about(f.Clients, pki.OCSPShape{Status: pki.OCSPRevoked}))
	no(RevokedOCSP).compare(t, nil, err)
	bob := f.Client("bob").X509.SerialNumber
	for name, bad := range map[string][]byte{
		"garbage": []byte("x"), "cut": good[:len(good)-1], "bob's": f.about(f.Clients, pki.OCSPShape{Serial: bob}),
		"by another CA": f.about(f.Servers, pki.OCSPShape{CertIDOf: f.Clients}), "large": bytes.Repeat([]byte{0x30}, maxOCSP+1),
	} {
		_, err := f.verdict(ocspStrict, bad)
		no(OCSPUnavailable).compare(t, nil, err)
		r, _ := errors.AsType[*Refusal](err)
		if strings.Contains(r.Detail(), "garbage") {
			t.Errorf("%s: detail %q", name, r.Detail())
		}
	}
	f.responder.says(good)
	v, err = f.verdict(ocspStrict, []byte("x"))
	yes.compare(t, v, err)
}

// TestStapleByTLS: a client's staple arrives with its certificate, in TLS 1.3 (T62).
func TestStapleByTLS(t *testing.T) {
	f := newOCSPFixture(t)
	f.responder.says(pki.OCSPError(3))
	s := f.load(nil)
	cert := f.alice.TLS()
	cert.OCSPStaple = f.about(f.Clients, pki.OCSPShape{})
	client := f.clientTLS(nil)
	client.Certificates = []tls.Certificate{cert}
	srv, _, err := handshake(t, s.ServerTLS(), client)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Verify(t.Context(), srv.PeerCertificates, srv.OCSPResponse, time.Now())
	yes.compare(t, v, err)
	if v.Revocation != "ocsp" || f.responder.asked.Load() != 0 {
		t.Errorf("revocation %q, asked %d times", v.Revocation, f.responder.asked.Load())
	}
}
