package trust

import (
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestT61StrictNeedsAWord: under strict a leaf that names no responder is refused, and so is one whose CA
// names a responder that gives no answer; a CA that names none is left to the CRLs.
func TestT61StrictNeedsAWord(t *testing.T) {
	f := newOCSPFixture(t)
	f.alice = f.Client("alice")
	f.noAnswer(t)

	ofSub := newResponder(t)
	for _, tt := range []struct {
		name string
		ext  []pki.Extension
		says []byte
		want want
	}{
		{"the CA names none", nil, nil, yes},
		{"no answer about the CA", []pki.Extension{pki.OCSPServer(ofSub.URL)}, pki.OCSPError(3), no(OCSPUnavailable)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub", Ext: tt.ext})
			f.alice = f.Issue(sub, pki.Shape{CN: "alice", Ext: []pki.Extension{pki.OCSPServer(f.responder.URL)}})
			f.responder.says(f.about(sub, pki.OCSPShape{}))
			ofSub.says(tt.says)
			v, err := f.verdict(ocspStrict, nil)
			tt.want.compare(t, v, err)
		})
	}
}

// TestT61OfTwoWords: of two words of one time, revoked counts; a word from the future, as when the clock
// has gone back, is none.
func TestT61OfTwoWords(t *testing.T) {
	f := newOCSPFixture(t)
	sub := subjectsOf([]*x509.Certificate{f.alice.X509, f.Clients.X509})[0]
	at := time.Now()
	word := func(w ocspWord) *ocspAnswer {
		return &ocspAnswer{word: w, thisUpdate: at, until: at.Add(time.Hour)}
	}
	for _, order := range [][]ocspWord{{saysGood, saysRevoked}, {saysRevoked, saysGood}} {
		c := newOCSPCache(time.Now)
		for _, w := range order {
			c.offer(&sub, word(w))
		}
		if a := c.peek(&sub, at); a == nil || a.word != saysRevoked {
			t.Errorf("%v: %+v, want revoked", order, a)
		}
		if a := c.peek(&sub, at.Add(-time.Second)); a != nil {
			t.Errorf("%v: %+v before it was said", order, a)
		}
	}
}

// TestT59AllOfCertID: a word about the same serial of the CA's name with another key, or of its key under
// another name, is not about this certificate.
func TestT59AllOfCertID(t *testing.T) {
	f := newOCSPFixture(t)
	for name, other := range map[string]*pki.CA{
		"another name": f.Root(pki.Shape{CN: "Other", Key: f.Clients.Key}),
		"another key":  f.Root(pki.Shape{RawSubject: f.Clients.X509.RawSubject}),
	} {
		t.Run(name, func(t *testing.T) {
			f.responder.says(f.about(f.Clients, pki.OCSPShape{CertIDOf: other}))
			f.noAnswer(t)
		})
	}
}

// TestT60WhoIsAsked: no link-local address, no answer but with 200, no more than two responders.
func TestT60WhoIsAsked(t *testing.T) {
	for _, addr := range []string{"169.254.169.254:80", "[fe80::1]:80", "[::ffff:169.254.169.254]:80", "0.0.0.0:80", "224.0.0.1:80", "nonsense"} {
		if err := refuseLinkLocal("tcp", addr, nil); err == nil {
			t.Errorf("%s is asked", addr)
		}
	}
	if err := refuseLinkLocal("tcp", "10.1.2.3:80", nil); err != nil {
		t.Error(err)
	}
	if _, err := newOCSPClient().Get("http://169.254.169.254/"); err == nil || !strings.Contains(err.Error(), "address not allowed") {
		t.Errorf("the client asked: %v", err)
	}
	f := newOCSPFixture(t)
	good := f.about(f.Clients, pki.OCSPShape{})
	f.responder.set(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		w.Write(good)
	})
	f.noAnswer(t)

	silent := newResponder(t)
	silent.says(nil)
	for before, want := range []want{yes, yes, no(OCSPUnavailable)} {
		urls := []string{silent.URL, silent.URL + "/2"}[:before]
		f.alice = f.client(pki.Shape{Ext: []pki.Extension{pki.OCSPServer(append(urls[:before:before], f.responder.URL)...)}})
		f.responder.says(f.about(f.Clients, pki.OCSPShape{}))
		v, err := f.verdict(ocspStrict, nil)
		want.compare(t, v, err)
	}
}
