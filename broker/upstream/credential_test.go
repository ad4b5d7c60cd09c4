package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// caPair is a CA as the credential takes it.
func caPair(t testing.TB, ca *pki.CA) *tls.Certificate {
	t.Helper()
	pair := ca.TLS()
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pair.Leaf = leaf
	return &pair
}

func newRoot(t testing.TB) *pki.CA {
	t.Helper()
	ca, err := pki.NewRoot(pki.Shape{CN: "Roles CA"})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestPasswordFile(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "secrets")
	for _, folder := range []string{"..data", "team"} {
		if err := os.MkdirAll(filepath.Join(inside, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(inside, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("app", "tiger\n")
	write("crlf", "tiger\r\n")
	write("bare", " tiger ")
	write("empty", "\n")
	write("two", "tiger\nlion\n")
	write("nul", "tiger\x00")
	write("long", strings.Repeat("x", maxPassword+1))
	write("..data/app", "other")
	write("team/app", "other")
	if err := os.WriteFile(filepath.Join(dir, "outside"), []byte("stolen"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := PasswordFile{Path: filepath.Join(inside, "{role}"), Read: os.ReadFile}
	for _, tt := range []struct{ role, want string }{
		{"app", "tiger"}, {"crlf", "tiger"}, {"bare", " tiger "},
		{"empty", ""}, {"two", ""}, {"nul", ""}, {"long", ""}, {"absent", ""},
		{"../outside", ""}, {"..", ""}, {".", ""}, {"", ""}, {"..data", ""}, {"..data/app", ""}, {"/etc/passwd", ""},
		{"app/../../outside", ""}, {"team/app", ""}, {"team/../../outside", ""}, {`..\outside`, ""}, {"app\x00", ""}, {"{role}", ""},
	} {
		got, err := f.Password(tt.role)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("role %q: got %q, %v; want %q", tt.role, got, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "tiger") || strings.Contains(err.Error(), "stolen")) {
			t.Errorf("role %q: the password is in %q", tt.role, err)
		}
	}
	write("app", "lion")
	if got, _ := f.Password("app"); got != "lion" {
		t.Errorf("got %q after the file changed", got)
	}
}

// T80: the certificate in force is the one shown; without one there is no login.
func TestCertificateRotates(t *testing.T) {
	l := newLab(t)
	server := l.fake(welcome)
	var current atomic.Pointer[tls.Certificate]
	cfg := l.config(server.Addr)
	cfg.Credential = Certificate{Load: current.Load}
	u := l.upstream(cfg)
	refusalOf(t, u, "08004", ReasonCredential)
	if n := server.Accepted(); n != 0 {
		t.Errorf("%d connections without a certificate", n)
	}
	for range 2 {
		cert := withLeaf(t, l.Issue(l.Broker, pki.Shape{CN: "broker"}).TLS())
		current.Store(cert)
		c, err := u.Dial(t.Context(), login)
		if err != nil {
			t.Fatal(err)
		}
		if c.CertSerial != cert.Leaf.SerialNumber.Text(16) {
			t.Errorf("showed serial %s, want %x", c.CertSerial, cert.Leaf.SerialNumber)
		}
		c.Close()
	}
}
