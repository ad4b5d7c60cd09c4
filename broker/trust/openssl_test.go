package trust

import (
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// opensslCA is OpenSSL's idea of a CA: an index file, from which it writes CRLs and OCSP responses.
type opensslCA struct {
	*fixture
	alice, bob, ocsp *pki.Leaf
}

func newOpenSSLCA(t *testing.T) *opensslCA {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	f := &opensslCA{fixture: newFixture(t)}
	f.alice, f.bob = f.Client("alice"), f.Client("bob")
	f.ocsp = f.client(pki.Shape{CN: "OCSP", EKU: []pki.OID{pki.EKUOCSPSigning}})
	f.WriteLeaf(&f.Clients.Leaf, "ca")
	f.WriteLeaf(f.ocsp, "ocsp")
	const day = "060102150405Z"
	end := time.Now().Add(24 * time.Hour).UTC().Format(day)
	gone := time.Now().Add(-time.Hour).UTC().Format(day)
	index := fmt.Sprintf("V\t%s\t\t%s\tunknown\t/CN=alice\n", end, serialHex(f.alice)) +
		fmt.Sprintf("R\t%s\t%s,keyCompromise\t%s\tunknown\t/CN=bob\n", end, gone, serialHex(f.bob))
	f.write("index.txt", []byte(index))
	f.write("crlnumber", []byte("07\n"))
	f.write("openssl.cnf", []byte("[ca]\ndefault_ca=me\n[me]\ndatabase=index.txt\ncrlnumber=crlnumber\n"+
		"default_md=sha256\ndefault_crl_days=1\ncrl_extensions=ext\n[ext]\nauthorityKeyIdentifier=keyid:always\n"))
	return f
}

func serialHex(l *pki.Leaf) string {
	s := strings.ToUpper(l.X509.SerialNumber.Text(16))
	return strings.Repeat("0", len(s)%2) + s
}

func (f *opensslCA) run(args ...string) {
	f.t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = f.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestOpenSSLCRL reads what `openssl ca -gencrl` writes.
func TestOpenSSLCRL(t *testing.T) {
	f := newOpenSSLCA(t)
	f.run("ca", "-config", "openssl.cnf", "-gencrl", "-cert", "ca.crt", "-keyfile", "ca.key", "-out", "list.pem")
	f.run("crl", "-in", "list.pem", "-outform", "DER", "-out", "list.der")
	for _, name := range []string{"list.pem", "list.der"} {
		f.cfg.CRL = []string{filepath.Join(f.Dir, name)}
		s := f.load(nil)
		now := time.Now().Add(time.Second) // OpenSSL dates the list now
		yes.check(t, s, peer(t, f.alice), now)
		no(RevokedCRL).check(t, s, peer(t, f.bob), now)
		if got := s.CRLs()[0]; got.Number != "7" || got.Entries != 1 {
			t.Errorf("%+v", got)
		}
	}
}

// TestOpenSSLOCSP has OpenSSL answer our requests, by the CA and by a delegate.
func TestOpenSSLOCSP(t *testing.T) {
	f := newOpenSSLCA(t)
	for _, signer := range []string{"ca", "ocsp"} {
		for leaf, want := range map[*pki.Leaf]ocspWord{f.alice: saysGood, f.bob: saysRevoked, f.Client("carol"): saysUnknown} {
			sub := subjectsOf([]*x509.Certificate{leaf.X509, f.Clients.X509})[0]
			nonce := []byte("0123456789abcdef0123456789abcdef")
			f.write("request", ocspRequest(&sub, nonce))
			f.run("ocsp", "-index", "index.txt", "-CA", "ca.crt", "-rsigner", signer+".crt", "-rkey", signer+".key",
				"-reqin", "request", "-respout", "response", "-ndays", "1")
			raw, err := os.ReadFile(filepath.Join(f.Dir, "response"))
			if err != nil {
				t.Fatal(err)
			}
			notRevoked := func(*subject) bool { return false }
			a, err := verifyOCSP(raw, &sub, time.Now().Add(time.Second), nonce, notRevoked)
			if err != nil || a.word != want {
				t.Errorf("signed by %s, about %s: %+v, %v, want %d", signer, certText(leaf.X509), a, err, want)
			}
			if _, err := verifyOCSP(raw, &sub, time.Now().Add(time.Second), []byte("another nonce"), notRevoked); err == nil {
				t.Error("another nonce was accepted: OpenSSL returned ours")
			}
		}
	}
}
