package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgsignet/pgsignet/broker/pki"
	"github.com/pgsignet/pgsignet/policy/identity"
)

func newCA(t *testing.T) (*pki.CA, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pki")
	ca, err := pki.Init(pki.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return ca, dir
}

func issue(t *testing.T, ca *pki.CA, r pki.Request) *pki.Issued {
	t.Helper()
	issued, err := ca.Issue(r)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// TestInit checks what T36 and T81 ask of an anchor, and the files.
func TestInit(t *testing.T) {
	ca, dir := newCA(t)
	c := ca.Certificate
	if c.Version != 3 || !c.IsCA || !c.MaxPathLenZero || c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign ||
		c.Subject.String() != "CN=pgsignet development CA" || len(c.SubjectKeyId) != 20 || c.SerialNumber.Sign() <= 0 {
		t.Errorf("got %+v", c)
	}
	if list := readCRL(t, ca); list.Number.Int64() != 1 || len(list.RevokedCertificateEntries) != 0 {
		t.Errorf("got CRL number %v with %d entries, want 1 with none", list.Number, len(list.RevokedCertificateEntries))
	}
	for name, mode := range map[string]os.FileMode{"ca.crt": 0o644, "ca.key": 0o600, "ca.crl": 0o644, "ca.json": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: got %v, %v, want mode %v", name, info.Mode(), err, mode)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 4 {
		t.Errorf("got %v, want four files", entries)
	}
}

func TestSeveralCAs(t *testing.T) {
	first, dir := newCA(t)
	second, err := pki.Init(pki.Config{Dir: dir, Name: "clients-ca", Subject: pki.Subject{O: []string{"Example"}, CN: "Clients CA"}})
	if err != nil {
		t.Fatal(err)
	}
	issued := issue(t, second, pki.Request{Name: "alice", Subject: pki.Subject{CN: "alice"}})
	if err := issued.Certificate.CheckSignatureFrom(second.Certificate); err != nil {
		t.Error(err)
	}
	_, err = first.Revoke(pki.Revocation{Name: "alice"})
	wantError(t, err, `certificate "alice" was not issued by CA "ca" but by "CN=Clients CA,O=Example"`)
	if again, err := pki.Open(dir, "clients-ca"); err != nil || !again.Certificate.Equal(second.Certificate) {
		t.Errorf("Open: %v", err)
	}
}

// TestIssue checks each rule that a leaf must pass, T36 to T42, and every field.
func TestIssue(t *testing.T) {
	ca, _ := newCA(t)
	ext, err := pki.ParseExtension("1.3.6.1.4.1.55555.1.1=payments=é")
	if err != nil {
		t.Fatal(err)
	}
	issued := issue(t, ca, pki.Request{
		Name:    "alice",
		Subject: pki.Subject{O: []string{"Example"}, OU: []string{"Dev", "Ops"}, CN: "alice é"},
		AltNames: pki.AltNames{
			DNS: []string{"a.example"}, Email: []string{"alice@example.com"}, URI: []string{"spiffe://prod.example/a"},
			IP: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")},
		},
		Extensions: []pki.Extension{ext},
		Lifetime:   time.Hour,
	})
	c := issued.Certificate
	if c.Version != 3 || c.IsCA || !c.BasicConstraintsValid || c.KeyUsage != x509.KeyUsageDigitalSignature ||
		!slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || c.SerialNumber.BitLen() != 127 ||
		c.SignatureAlgorithm != x509.ECDSAWithSHA256 || len(c.UnhandledCriticalExtensions) != 0 ||
		!slices.Equal(c.AuthorityKeyId, ca.Certificate.SubjectKeyId) {
		t.Errorf("got %+v", c)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	id, err := identity.Extract(c, []string{"1.3.6.1.4.1.55555.1.1"})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(id.DN, id.DNS, id.Email, id.SPIFFE, id.IP, id.Extension, id.Issuer)
	want := `CN=alice \C3\A9,OU=Ops,OU=Dev,O=Example [a.example] [alice@example.com] spiffe://prod.example/a ` +
		"[10.0.0.1 2001:db8::1] map[1.3.6.1.4.1.55555.1.1:payments=é] CN=pgsignet development CA\n"
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if _, err := tls.LoadX509KeyPair(issued.CertFile, issued.KeyFile); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(issued.KeyFile); err != nil || info.Mode() != 0o600 {
		t.Errorf("key file: %v, %v", info, err)
	}
}

func TestIssueServer(t *testing.T) {
	ca, _ := newCA(t)
	c := issue(t, ca, pki.Request{Name: "server", Server: true}).Certificate
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := c.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if c.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth || len(c.RawSubject) != 2 {
		t.Errorf("got EKU %v, subject %x", c.ExtKeyUsage, c.RawSubject)
	}
	for _, e := range c.Extensions {
		if e.Id.String() == "2.5.29.17" && !e.Critical {
			t.Error("SAN beside an empty subject is not critical (RFC 5280, 4.1.2.6)")
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	ca, dir := newCA(t)
	issue(t, ca, pki.Request{Name: "taken", Subject: pki.Subject{CN: strings.Repeat("é", 64)}})
	alice := pki.Subject{CN: "alice"}
	boom := errors.New("not this one")
	for _, tt := range []struct {
		name string
		r    pki.Request
		want string
	}{
		{"no name", pki.Request{Subject: alice}, `name "": want 1 to 100`},
		{"path", pki.Request{Name: "../alice", Subject: alice}, "want 1 to 100 letters"},
		{"option", pki.Request{Name: "-alice", Subject: alice}, "want 1 to 100 letters"},
		{"hidden", pki.Request{Name: ".alice", Subject: alice}, "want 1 to 100 letters"},
		{"taken", pki.Request{Name: "taken", Subject: alice}, "taken.crt exists: it is not overwritten"},
		{"the CA", pki.Request{Name: "ca", Subject: alice}, "ca.crt exists"},
		{"nobody", pki.Request{Name: "a"}, "names nobody"},
		{"newline", pki.Request{Name: "a", Subject: pki.Subject{CN: "a\nb"}}, "control character"},
		{"CN of 65", pki.Request{Name: "a", Subject: pki.Subject{CN: strings.Repeat("é", 65)}}, "has 65 characters, and X.520 allows 64"},
		{"OU of 65", pki.Request{Name: "a", Subject: pki.Subject{CN: "a", OU: []string{strings.Repeat("x", 65)}}}, "has 65 characters"},
		{"not UTF-8", pki.Request{Name: "a", Subject: pki.Subject{O: []string{"\xff"}}}, "not UTF-8"},
		{"empty OU", pki.Request{Name: "a", Subject: pki.Subject{OU: []string{""}}}, "ou: empty"},
		{"dns", pki.Request{Name: "a", AltNames: pki.AltNames{DNS: []string{"bücher.example"}}}, "xn--"},
		{"dns with port", pki.Request{Name: "a", AltNames: pki.AltNames{DNS: []string{"a:1"}}}, "is not allowed"},
		{"email", pki.Request{Name: "a", AltNames: pki.AltNames{Email: []string{"alice"}}}, "name@domain"},
		{"uri", pki.Request{Name: "a", AltNames: pki.AltNames{URI: []string{"alice"}}}, "no scheme"},
		{"mapped ip", pki.Request{Name: "a", AltNames: pki.AltNames{IP: []netip.Addr{netip.MustParseAddr("::ffff:1.2.3.4")}}}, "IPv4-mapped"},
		{"standard extension", pki.Request{Name: "a", Extensions: []pki.Extension{{ID: []int{2, 5, 29, 19}, Value: "x"}}}, "X.509's own"},
		{"extension twice", pki.Request{Name: "a", Extensions: []pki.Extension{{ID: []int{1, 2, 3}, Value: "x"}, {ID: []int{1, 2, 3}, Value: "y"}}}, "given twice"},
		{"negative lifetime", pki.Request{Name: "a", Subject: alice, Lifetime: -1}, "must be positive"},
		{"beyond the CA", pki.Request{Name: "a", Subject: alice, Lifetime: 11 * 365 * 24 * time.Hour}, "beyond the CA's own end"},
		{"refused by the check", pki.Request{Name: "a", Subject: alice, Check: func(*x509.Certificate) error { return boom }}, "not this one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ca.Issue(tt.r)
			wantError(t, err, tt.want)
		})
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 6 {
		t.Errorf("refused requests left files: %v", files)
	}
}

func TestParseExtension(t *testing.T) {
	for _, bad := range []string{"", "1.2.3", "=x", "1.2=x", "1..3=x", "1.02.3=x", "3.1.1=x", "1.40.1=x", "a.b.c=x", "1.2.2147483648=x", "1.2.-3=x"} {
		if e, err := pki.ParseExtension(bad); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, e)
		}
	}
	if e, err := pki.ParseExtension("2.999.0=a=b"); err != nil || e.Value != "a=b" || e.ID.String() != "2.999.0" {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestExpiredCA(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ca, err := pki.Init(pki.Config{Dir: dir, Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		short := issue(t, ca, pki.Request{Name: "short", Subject: pki.Subject{CN: "a"}})
		if !short.Certificate.NotAfter.Equal(ca.Certificate.NotAfter) {
			t.Errorf("got notAfter %v, want the CA's %v", short.Certificate.NotAfter, ca.Certificate.NotAfter)
		}
		time.Sleep(time.Hour)
		if ca, err = pki.Open(dir, ""); err != nil {
			t.Fatal(err)
		}
		_, err = ca.Issue(pki.Request{Name: "late", Subject: pki.Subject{CN: "a"}})
		wantError(t, err, "the CA expired at")
		if _, err := ca.RenewCRL(0); err != nil {
			t.Errorf("CRL of an expired CA: %v", err)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(dir string) error
		want  string
	}{
		"no CA":        {func(dir string) error { return os.Remove(filepath.Join(dir, "ca.crt")) }, `there is no CA "ca"`},
		"no key":       {func(dir string) error { return os.Remove(filepath.Join(dir, "ca.key")) }, "ca.key"},
		"open key":     {func(dir string) error { return os.Chmod(filepath.Join(dir, "ca.key"), 0o644) }, "chmod 600"},
		"empty key":    {func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.key"), nil, 0o600) }, "PEM block"},
		"another key":  {func(dir string) error { return os.Rename(filepath.Join(dir, "a.key"), filepath.Join(dir, "ca.key")) }, "is not the key of"},
		"another cert": {func(dir string) error { return os.Rename(filepath.Join(dir, "a.crt"), filepath.Join(dir, "ca.crt")) }, "is not the key of"},
	} {
		t.Run(name, func(t *testing.T) {
			ca, dir := newCA(t)
			issue(t, ca, pki.Request{Name: "a", Subject: pki.Subject{CN: "a"}})
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			_, err := pki.Open(dir, "")
			wantError(t, err, tt.want)
		})
	}
	ca, dir := newCA(t)
	issue(t, ca, pki.Request{Name: "leaf", Subject: pki.Subject{CN: "a"}})
	_, err := pki.Open(dir, "leaf")
	wantError(t, err, "not a CA certificate")
	_, err = pki.Init(pki.Config{Dir: dir})
	wantError(t, err, "ca.crt exists")
	if err := os.WriteFile(filepath.Join(dir, "ca.json"), []byte(`{"certificates":[{"serial":"x"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = ca.RenewCRL(0)
	wantError(t, err, `serial "x"`)
	if err := os.Remove(filepath.Join(dir, "ca.json")); err != nil {
		t.Fatal(err)
	}
	_, err = ca.RenewCRL(0)
	wantError(t, err, "nobody knows what CA")
}

// TestConcurrentIssue: no entry of the list is lost when several issue at once, each with its own CA value as
// processes would.
func TestConcurrentIssue(t *testing.T) {
	_, dir := newCA(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ca, err := pki.Open(dir, "")
			if err == nil {
				_, err = ca.Issue(pki.Request{Name: fmt.Sprint("c", i), Subject: pki.Subject{CN: "a"}})
			}
			if err == nil {
				_, err = ca.Revoke(pki.Revocation{Name: fmt.Sprint("c", i)})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ca, err := pki.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if list := readCRL(t, ca); list.Number.Int64() != 9 || len(list.RevokedCertificateEntries) != 8 {
		t.Errorf("got CRL %v with %d entries, want 9 with 8", list.Number, len(list.RevokedCertificateEntries))
	}
}

// TestAsOpenSSL lets the openssl program, strict, judge what we issue and revoke.
func TestAsOpenSSL(t *testing.T) {
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("this test verifies with the openssl program, which is not installed: install the package openssl")
	}
	ca, _ := newCA(t)
	client := issue(t, ca, pki.Request{Name: "alice", Subject: pki.Subject{CN: "alice"}})
	server := issue(t, ca, pki.Request{Name: "server", Subject: pki.Subject{CN: "db"}, Server: true})
	verify := func(purpose, cert string) (string, error) {
		out, err := exec.Command(program, "verify", "-x509_strict", "-crl_check", "-purpose", purpose,
			"-CAfile", ca.CertFile(), "-CRLfile", ca.CRLFile(), cert).CombinedOutput()
		return string(out), err
	}
	for purpose, cert := range map[string]string{"sslclient": client.CertFile, "sslserver": server.CertFile} {
		if out, err := verify(purpose, cert); err != nil {
			t.Errorf("%s: %v\n%s", purpose, err, out)
		}
	}
	if _, err := ca.Revoke(pki.Revocation{Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	if out, err := verify("sslclient", client.CertFile); err == nil || !strings.Contains(out, "certificate revoked") {
		t.Errorf("after revocation: %v\n%s", err, out)
	}
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got error %v, want one with %q", err, text)
	}
}
