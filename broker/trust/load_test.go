package trust

import (
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestLoadErrors: what is wrong is named, and the snapshot before is untouched (T78).
func TestLoadErrors(t *testing.T) {
	f := newFixture(t)
	good := f.load(nil)
	now := time.Now()
	server := func(s pki.Shape) func(*Config) {
		s.ServerAuth = true
		leaf := f.Issue(f.Servers, s)
		return func(c *Config) { c.CertFile, c.KeyFile = f.WriteLeaf(leaf, "odd") }
	}
	ca := func(name string, data []byte) func(*Config) {
		return func(c *Config) { c.ClientCA = []string{f.write(name, data)} }
	}
	key, err := f.Clients.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"server certificate expired", server(pki.Shape{NotAfter: now.Add(-time.Minute)}), "expired on"},
		{"server certificate of tomorrow", server(pki.Shape{NotBefore: now.Add(time.Hour)}), "valid only from"},
		{"no server certificate", func(c *Config) { c.CertFile = "" }, "cert_file is not set"},
		{"certificate missing", func(c *Config) { c.CertFile = "/nowhere/x.crt" }, "/nowhere/x.crt"},
		{"no client CA", func(c *Config) { c.ClientCA = nil }, "client_ca is empty"},
		{"client CA missing", func(c *Config) { c.ClientCA = []string{"/nowhere/ca.crt"} }, "/nowhere/ca.crt"},
		{"client CA empty", ca("empty.crt", nil), "holds no PEM certificate"},
		{"client CA with a key", ca("key.crt", append(f.Clients.CertPEM(), key...)), `"PRIVATE KEY" block`},
		{"client CA cut", ca("cut.crt", append(f.Clients.CertPEM(), "-----BEGIN CERTIFICATE-----\nMIIB"...)), "cut or damaged"},
		{"client CA is junk", ca("junk.crt", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")), "certificate 1"},
		{"client CA is a leaf", ca("leaf.crt", f.Client("x").CertPEM()), "not a CA"},
		{"client CA may not sign", ca("mute.crt", f.Root(pki.Shape{KeyUsage: []pki.KeyUsageBit{pki.CRLSign}}).CertPEM()), "keyCertSign"},
		{"client CA without a name", ca("anon.crt", f.Root(pki.Shape{Subject: pki.Name{}}).CertPEM()), "no subject"},
		{"client CA is a directory", func(c *Config) { c.ClientCA = []string{f.Dir} }, "not a regular file"},
		{"misspelt crl_policy", func(c *Config) { c.CRLPolicy = "lenient" }, "crl_policy"},
		{"misspelt ocsp", func(c *Config) { c.OCSP = "on" }, "ocsp"},
		{"CRL missing", func(c *Config) { c.CRL = []string{"/nowhere/x.crl"} }, "/nowhere/x.crl"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := f.cfg
			tt.change(&cfg)
			s, err := Load(cfg, now, good)
			if err == nil || s != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "MII") {
				t.Errorf("file contents in %v", err)
			}
		})
	}
	yes.check(t, good, peer(t, f.Client("alice")), now)
}

// TestLoadCAs: text between blocks is fine, a certificate counts once, order stays.
func TestLoadCAs(t *testing.T) {
	f := newFixture(t)
	text := append([]byte("Certificate:\n  Data:\n"), f.Servers.CertPEM()...)
	path := f.write("bundle.crt", append(append(text, "# a comment\n"...), f.Clients.CertPEM()...))
	cas, err := LoadCAs([]string{path, path, f.cfg.ClientCA[0]})
	if err != nil || len(cas) != 2 || !cas[0].Equal(f.Servers.X509) || !cas[1].Equal(f.Clients.X509) {
		t.Errorf("%d certificates, %v", len(cas), err)
	}
}

// TestChangedWhileRead: a file that is written to while it is read is no file (A114).
func TestChangedWhileRead(t *testing.T) {
	f := newFixture(t)
	path := f.write("growing", []byte("x"))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		w, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return
		}
		defer w.Close()
		for {
			select {
			case <-stop:
				return
			default:
				w.Write([]byte("x"))
			}
		}
	}()
	defer func() { close(stop); <-done }()
	for range 1_000_000 {
		if data, err := readFile(path, 1<<30, false); err != nil {
			if !strings.Contains(err.Error(), "changed while") {
				t.Fatal(err)
			}
			return
		} else if len(data) > 64<<20 {
			break
		}
	}
	t.Skip("the writer never met the reader")
}

// TestInventory lists what metrics and audit show (T51).
func TestInventory(t *testing.T) {
	f := newCRLFixture(t)
	f.cfg.SPIFFE = map[string][]string{"a.example": {f.WriteCA(f.Root(pki.Shape{CN: "A"}), "a")}}
	f.cfg.CRL = []string{f.crl(f.Clients, "a.crl", pki.CRLShape{Number: big.NewInt(12), Revoked: []pki.Revoked{pki.Revoke(f.bob)}}),
		f.crl(f.Servers, "d.crl", pki.CRLShape{DeltaBase: big.NewInt(1)})}
	s := f.load(nil)
	var roles []string
	for _, c := range s.Certificates() {
		roles = append(roles, c.Role+" "+c.Subject)
		if c.NotAfter.IsZero() || len(c.SHA256) != 64 {
			t.Errorf("%+v", c)
		}
	}
	if got := strings.Join(roles, ", "); got != "server CN=localhost, client_ca CN=Test Clients CA, spiffe:a.example CN=A" {
		t.Error(got)
	}
	lists := s.CRLs()
	if len(lists) != 2 || lists[0].Number != "12" || lists[0].Entries != 1 || lists[0].Issuer != "CN=Test Clients CA" ||
		lists[0].Unusable != "" || lists[1].Unusable == "" || lists[0].NextUpdate.IsZero() {
		t.Errorf("%+v", lists)
	}
	if s.at.IsZero() || s.cfg.Listener != "main" || len(s.Anchors()) != 2 {
		t.Error("inventory is incomplete")
	}
}
