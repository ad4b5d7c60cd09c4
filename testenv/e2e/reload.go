package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// EditConfig replaces text in the configuration file; the broker is not told.
func (b *Broker) EditConfig(t testing.TB, pairs ...string) {
	t.Helper()
	path := filepath.Join(b.Dir, "pgsignet.hcl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(string(text), pairs[i]) {
			t.Fatalf("the configuration has no %q", pairs[i])
		}
	}
	b.WriteFile(t, "pgsignet.hcl", []byte(strings.NewReplacer(pairs...).Replace(string(text))))
}

// WriteFile puts a file into the broker's folder, by rename, as tools that rotate certificates do.
func (b *Broker) WriteFile(t testing.TB, name string, content []byte) {
	t.Helper()
	path := filepath.Join(b.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// WriteCRL puts a CRL of ca into the broker's folder.
func (b *Broker) WriteCRL(t testing.TB, name string, ca *pki.CA, s pki.CRLShape) {
	t.Helper()
	b.WriteFile(t, name, CRL(t, ca, s))
}

// CRL is a revocation list in PEM.
func CRL(t testing.TB, ca *pki.CA, s pki.CRLShape) []byte {
	t.Helper()
	pem, err := ca.CRLPEM(s)
	if err != nil {
		t.Fatal(err)
	}
	return pem
}

// Reload sends SIGHUP and returns the audit record of what came of it.
func (b *Broker) Reload(t testing.TB) map[string]any {
	t.Helper()
	before := len(b.Records("config.reload", 1)) // the first is of the start
	b.Signal(syscall.SIGHUP)
	return b.Records("config.reload", before+1)[before]
}

// ServerCertificate is what the broker showed in the handshake of DialTLS.
func (w *Wire) ServerCertificate() *x509.Certificate {
	return w.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
}
