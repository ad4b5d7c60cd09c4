package e2e

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestA9A15A19A21A23A24Handshakes is the catalogue's section on TLS as far as crypto/tls makes such
// clients, with a key that is not what it says where it would not sign.
func TestA9A15A19A21A23A24Handshakes(t *testing.T) {
	w := Shared(t)
	b := underWatch(t, Options{})
	alice := w.Client("alice")
	change := func(f func(*tls.Config)) *tls.Config {
		cfg := b.TLSConfig(alice)
		f(cfg)
		return cfg
	}
	present := func(chain ...[]byte) *tls.Config {
		return change(func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: chain, PrivateKey: alice.Key}, nil
			}
		})
	}
	spki := func(s []byte) *tls.Config {
		return present(w.Issue(w.Clients, pki.Shape{CN: "alice", SPKI: s}).DER)
	}
	// signed presents a certificate and signs with the key that key makes for it.
	signed := func(s pki.Shape, key func(*x509.Certificate) crypto.Signer) *tls.Config {
		s.CN = "alice"
		leaf := w.Issue(w.Clients, s)
		return change(func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: [][]byte{leaf.DER}, PrivateKey: key(leaf.X509)}, nil
			}
		})
	}
	rsaKey := func(bits int, e *big.Int) *tls.Config { return spki(pki.RSASPKI(bits, e)) }
	other := w.Client("alice")
	big256 := make([][]byte, 9)
	for i := range big256 {
		big256[i] = make([]byte, 30<<10)
	}
	for _, tt := range []struct {
		name, alert string
		cfg         *tls.Config
	}{
		{"A9 ALPN h2", "120", change(func(c *tls.Config) { c.NextProtos = []string{"h2"} })},
		{"A15 TLS 1.1", "70", change(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })},
		{"A15 CBC", "40", change(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
		})},
		{"A15 3DES and RC4", "40", change(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA}
		})},
		{"A15 RSA key exchange", "40", change(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		})},
		{"A19 a Certificate of 270 KB", "80", present(append([][]byte{alice.DER}, big256...)...)},
		{"A23 RSA-8193", "42", rsaKey(8193, big.NewInt(65537))},
		{"A23 DSA", "43", spki(pki.DSASPKI())},
		{"A23 X25519", "43", spki(pki.X25519SPKI())},
		{"A23 secp256k1", "50", spki(pki.CurveSPKI(asn1.ObjectIdentifier{1, 3, 132, 0, 10}, 32))},
		{"A23 brainpoolP256r1", "50", spki(pki.CurveSPKI(asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 7}, 32))},
		{"A23 e = 2^64", "50", rsaKey(2048, new(big.Int).Lsh(big.NewInt(1), 64))},
		{"A23 RSA with e = 1", "51", signed(pki.Shape{SPKI: pki.RSASPKI(2048, big.NewInt(1))}, func(c *x509.Certificate) crypto.Signer {
			return paddedDigest{c.PublicKey.(*rsa.PublicKey)}
		})},
		{"A23 P-224", "47", signed(pki.Shape{Kind: pki.P224}, func(*x509.Certificate) crypto.Signer { return alice.Key })},
		{"A24 another certificate's key", "51", present(other.DER)},
		{"A24 another key's scheme", "47", signed(pki.Shape{Kind: pki.RSA2048}, func(*x509.Certificate) crypto.Signer { return alice.Key })},
		{"A24 a scheme of no key", "47", signed(pki.Shape{Kind: pki.P256}, func(*x509.Certificate) crypto.Signer {
			return pretender{alice.Key, ed25519.PublicKey(make([]byte, ed25519.PublicKeySize))}
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			denied := b.denials("tls")
			err := b.handshake(t, tt.cfg)
			if got := alertOf(err); got != tt.alert {
				t.Errorf("got %v (alert %s), want alert %s", err, got, tt.alert)
			}
			Poll(t, "one audit event at stage tls", func() bool { return b.denials("tls") == denied+1 })
		})
	}
	t.Run("A23 P-224 under TLS 1.2", func(t *testing.T) {
		cfg := b.TLSConfig(w.Issue(w.Clients, pki.Shape{CN: "alice", Kind: pki.P224}))
		cfg.MaxVersion = tls.VersionTLS12
		c := b.Dial(t).answered(sslRequest, 'S').encrypted(cfg)
		c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
		m := c.ReadError()
		if denied := b.denialOf(m); Field(m, 'C') != "28000" || dig(denied, "denial.reason") != "weak_key" {
			t.Errorf("the client reads %s, audit: %v", ErrorText(m), denied["denial"])
		}
	})
	t.Run("A21 no ticket is issued", func(t *testing.T) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cache := tls.NewLRUClientSessionCache(8)
			for range 2 {
				c := b.Dial(t)
				c.Send([]byte{0, 0, 0, 8, 4, 210, 22, 47})
				io.ReadFull(c, make([]byte, 1))
				cfg := change(func(c *tls.Config) { c.ClientSessionCache, c.MaxVersion = cache, version })
				conn := tls.Client(c.Conn, cfg)
				wire := &Wire{Conn: conn, t: t}
				wire.Send(Startup(3<<16, "user", "alice", "database", "orders"))
				wire.ReadUntil('Z')
				if conn.ConnectionState().DidResume {
					t.Errorf("TLS %x: a session was resumed", version)
				}
				wire.Send(Msg('X', ""))
			}
		}
	})
	b.undisturbed(t)
}

// pretender is a key that shows crypto/tls another public key than its own, so that the scheme of its
// signature is that one's.
type pretender struct {
	crypto.Signer
	shown crypto.PublicKey
}

func (p pretender) Public() crypto.PublicKey { return p.shown }

// paddedDigest is the key of an RSA certificate with the public exponent 1: its signature is the padded
// digest itself, which anybody can make (RFC 8017, 9.1.1).
type paddedDigest struct{ public *rsa.PublicKey }

func (p paddedDigest) Public() crypto.PublicKey { return p.public }

func (p paddedDigest) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	hash := opts.HashFunc()
	salt := make([]byte, hash.Size())
	sum := func(parts ...[]byte) []byte {
		h := hash.New()
		h.Write(bytes.Join(parts, nil))
		return h.Sum(nil)
	}
	proof := sum(make([]byte, 8), digest, salt)
	padded := make([]byte, p.public.Size()-len(proof)-1)
	padded[len(padded)-len(salt)-1] = 1 // then the salt, of zeros
	for i := range padded {
		padded[i] ^= sum(proof, []byte{0, 0, 0, byte(i / hash.Size())})[i%hash.Size()]
	}
	padded[0] &= 0x7f
	return append(append(padded, proof...), 0xbc), nil
}

// TestSuitesAndVersions looks at a listener as testssl.sh does: which versions, suites and groups it
// takes, one by one.
func TestSuitesAndVersions(t *testing.T) {
	w := Shared(t)
	for _, min := range []string{"1.2", "1.3"} {
		t.Run("min_tls "+min, func(t *testing.T) {
			b := w.Start(t, Options{Rules: people, Listener: fmt.Sprintf("min_tls = %q", min)})
			var taken []string
			for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
				if suite.SupportedVersions[0] == tls.VersionTLS13 {
					continue
				}
				cfg := b.TLSConfig(w.Client("alice"))
				cfg.MaxVersion, cfg.CipherSuites = tls.VersionTLS12, []uint16{suite.ID}
				if b.handshake(t, cfg) == nil {
					taken = append(taken, suite.Name)
				}
			}
			want := []string{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"}
			if min == "1.3" {
				want = nil
			}
			if strings.Join(taken, " ") != strings.Join(want, " ") { // the server's key is ECDSA
				t.Errorf("TLS 1.2 takes %v, want %v", taken, want)
			}
			for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: min == "1.2", tls.VersionTLS13: true} {
				cfg := b.TLSConfig(w.Client("alice"))
				cfg.MinVersion, cfg.MaxVersion = version, version
				if err := b.handshake(t, cfg); (err == nil) != ok {
					t.Errorf("%s: %v, want taken %v", tls.VersionName(version), err, ok)
				}
			}
		})
	}
}

// TestFIPSMode: the program starts, serves and refuses under GODEBUG=fips140=on.
func TestFIPSMode(t *testing.T) {
	t.Setenv("GODEBUG", "fips140=on")
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	os.Unsetenv("GODEBUG")
	environ, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(b.PID()), "environ"))
	if err != nil || !bytes.Contains(environ, []byte("fips140=on")) {
		t.Fatalf("the broker does not run in FIPS mode: %q, %v", environ, err)
	}
	alice := w.Client("alice")
	sane(t, b.Connect(t, alice, "alice", "orders"))
	cfg := b.TLSConfig(alice)
	cfg.MaxVersion, cfg.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
	if err := b.handshake(t, cfg); err == nil {
		t.Error("ChaCha20, which FIPS 140-3 does not approve, was taken")
	}
	cfg.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	if err := b.handshake(t, cfg); err != nil {
		t.Errorf("AES-GCM: %v", err)
	}
	c := b.DialTLS(t, w.Issue(w.Root(pki.Shape{CN: "Stranger"}), pki.Shape{CN: "alice"}))
	c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
	if m := c.ReadError(); Field(m, 'C') != "28000" {
		t.Errorf("a stranger reads %s", ErrorText(m))
	}
}
