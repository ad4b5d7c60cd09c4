package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestUsualSet logs a client in over TLS with certificates through an intermediate.
func TestUsualSet(t *testing.T) {
	env := pki.New(t)
	sub := env.Intermediate(env.Clients, pki.Shape{})
	alice := env.Issue(sub, pki.Shape{
		CN: "alice", O: []string{"Example"}, OU: []string{"Dev"}, Email: []string{"alice@example.com"},
		SPIFFE: "spiffe://prod.example/a", IP: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		Ext: []pki.Extension{pki.StringExtension(pki.OID{1, 3, 6, 1, 4, 1, 55555, 1}, 0, "role")},
	})
	server, client := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- tls.Client(client, &tls.Config{
			RootCAs: env.Servers.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{alice.TLS()},
		}).Handshake()
	}()
	conn := tls.Server(server, &tls.Config{
		Certificates: []tls.Certificate{env.Server().TLS()}, ClientCAs: env.Clients.Pool(),
		ClientAuth: tls.RequireAndVerifyClientCert, SessionTicketsDisabled: true,
	})
	if err := conn.Handshake(); err != nil {
		t.Fatalf("server: %v", err)
	}
	if err := <-done; err != nil {
		t.Fatalf("client: %v", err)
	}
	if chain := conn.ConnectionState().VerifiedChains[0]; len(chain) != 3 {
		t.Errorf("chain of %d certificates, want 3", len(chain))
	}
}

func TestWrite(t *testing.T) {
	env := pki.New(t)
	certFile, keyFile := env.WriteLeaf(env.Client("alice"), "alice")
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || filepath.Base(keyFile) != "alice.key" {
		t.Errorf("%s has mode %v, want alice.key with 0600", keyFile, info.Mode())
	}
}

// TestKeys issues below and for each kind of key and checks the signature by Go.
func TestKeys(t *testing.T) {
	for _, kind := range []pki.KeyKind{
		pki.P256, pki.P384, pki.P521, pki.P224, pki.Ed25519, pki.RSA1024, pki.RSA2047, pki.RSA2048, pki.RSA2052,
	} {
		t.Run(string(kind), func(t *testing.T) {
			root, err := pki.NewRoot(pki.Shape{Kind: kind})
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := root.Issue(pki.Shape{CN: "a", Kind: kind})
			if err != nil {
				t.Fatal(err)
			}
			if leaf.X509 == nil {
				t.Fatalf("does not parse: %v", leaf.ParseErr)
			}
			if err := leaf.X509.CheckSignatureFrom(root.X509); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSignatureAlgorithms(t *testing.T) {
	ca, err := pki.NewRoot(pki.Shape{Kind: pki.RSA2048})
	if err != nil {
		t.Fatal(err)
	}
	for alg, want := range map[pki.SigAlg]x509.SignatureAlgorithm{
		pki.MD5WithRSA: x509.MD5WithRSA, pki.SHA1WithRSA: x509.SHA1WithRSA,
		pki.SHA256WithRSA: x509.SHA256WithRSA, pki.SHA256WithRSAPSS: x509.SHA256WithRSAPSS,
	} {
		leaf, err := ca.Issue(pki.Shape{CN: "a", SigAlg: alg})
		if err != nil || leaf.X509 == nil {
			t.Fatalf("%s: %v %v", alg, err, leaf.ParseErr)
		}
		if got := leaf.X509.SignatureAlgorithm; got != want {
			t.Errorf("%s reads as %v, want %v", alg, got, want)
		}
	}
	leaf, err := ca.Issue(pki.Shape{CN: "a", SigAlg: pki.SHA256WithRSAPSS})
	if err != nil || leaf.X509.CheckSignatureFrom(ca.X509) != nil {
		t.Errorf("PSS signature: %v", leaf.X509.CheckSignatureFrom(ca.X509))
	}
	if leaf, err = ca.Issue(pki.Shape{InnerAlg: pki.SHA1WithRSA}); err != nil || leaf.ParseErr == nil {
		t.Errorf("differing AlgorithmIdentifiers parse, want an error")
	}
}

// TestOddShapes checks that each odd certificate is what it claims to be, by how Go reads it.
func TestOddShapes(t *testing.T) {
	env := pki.New(t)
	parses := func(*x509.Certificate) bool { return true }
	for _, tt := range []struct {
		name  string
		shape pki.Shape
		want  func(*x509.Certificate) bool // nil: Go does not parse it
	}{
		{"v1", pki.Shape{Version: 1}, func(c *x509.Certificate) bool { return c.Version == 1 && len(c.Extensions) == 0 }},
		{"v2", pki.Shape{Version: 2}, func(c *x509.Certificate) bool { return c.Version == 2 }},
		{"serial 0", pki.Shape{Serial: big.NewInt(0)}, func(c *x509.Certificate) bool { return c.SerialNumber.Sign() == 0 }},
		{"serial -1", pki.Shape{Serial: big.NewInt(-1)}, nil},
		{"serial of 21 octets", pki.Shape{Serial: new(big.Int).Lsh(big.NewInt(1), 163)},
			func(c *x509.Certificate) bool { return c.SerialNumber.BitLen() == 164 }},
		{"two CNs", pki.Shape{Subject: pki.Name{pki.CN("a"), pki.CN("b")}},
			func(c *x509.Certificate) bool { return c.Subject.CommonName == "b" && len(c.Subject.Names) == 2 }},
		{"CN+CN", pki.Shape{Subject: pki.Name{append(pki.CN("b"), pki.CN("a")...)}},
			func(c *x509.Certificate) bool { return c.Subject.CommonName == "a" }},
		{"BMPString", pki.Shape{Subject: pki.Name{{pki.BMP(pki.OIDCommonName, "é")}}},
			func(c *x509.Certificate) bool { return c.Subject.CommonName == "é" }},
		{"UniversalString", pki.Shape{Subject: pki.Name{{pki.Universal(pki.OIDCommonName, "a")}}}, nil},
		{"bad UTF-8", pki.Shape{CN: "\xff"}, nil},
		{"NUL", pki.Shape{CN: "a\x00b"}, func(c *x509.Certificate) bool { return c.Subject.CommonName == "a\x00b" }},
		{"duplicate extension", pki.Shape{Ext: []pki.Extension{pki.EKU()}}, nil},
		{"empty EKU", pki.Shape{EKU: []pki.OID{}}, func(c *x509.Certificate) bool { return len(c.ExtKeyUsage) == 0 }},
		{"any EKU", pki.Shape{EKU: []pki.OID{pki.EKUAny}},
			func(c *x509.Certificate) bool { return c.ExtKeyUsage[0] == x509.ExtKeyUsageAny }},
		{"keyUsage without a bit", pki.Shape{KeyUsage: []pki.KeyUsageBit{}},
			func(c *x509.Certificate) bool { return c.KeyUsage == 0 && len(c.Extensions) == 5 }},
		{"keyUsage with two bits", pki.Shape{KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature, pki.KeyCertSign}},
			func(c *x509.Certificate) bool {
				return c.KeyUsage == x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
			}},
		{"name constraints", pki.Shape{IsCA: true, Ext: []pki.Extension{pki.NameConstraints(
			[]pki.GeneralName{pki.DNSName("a.example"), pki.RFC822Name("b.example"), pki.URIName(".c.example"),
				pki.IPRange(netip.MustParsePrefix("10.0.0.0/8"))},
			[]pki.GeneralName{pki.DNSName("d.a.example")})}},
			func(c *x509.Certificate) bool {
				return c.PermittedDNSDomains[0] == "a.example" && c.PermittedIPRanges[0].String() == "10.0.0.0/8" &&
					c.PermittedEmailAddresses[0] == "b.example" && c.ExcludedDNSDomains[0] == "d.a.example"
			}},
		{"directoryName constraint", pki.Shape{IsCA: true, Ext: []pki.Extension{pki.NameConstraints(
			[]pki.GeneralName{pki.DirectoryName(pki.Name{pki.O("x")})}, nil)}},
			func(c *x509.Certificate) bool { return len(c.UnhandledCriticalExtensions) == 1 }},
		{"otherName", pki.Shape{SAN: []pki.GeneralName{pki.UPN("a@b"), pki.RegisteredID(pki.OID{1, 2, 3})}}, parses},
		{"trailing DER in EKU, which Go takes", pki.Shape{Omit: []pki.OID{pki.OIDExtKeyUsage}, Ext: []pki.Extension{
			trailing(pki.EKU(pki.EKUClientAuth))}}, parses},
		{"trailing DER in name constraints", pki.Shape{Ext: []pki.Extension{
			trailing(pki.NameConstraints([]pki.GeneralName{pki.DNSName("a")}, nil))}}, nil},
		{"32 KiB", pki.Shape{Ext: []pki.Extension{{ID: pki.OID{1, 2, 3}, Value: make([]byte, 40<<10)}}},
			func(c *x509.Certificate) bool { return len(c.Raw) > 40<<10 }},
		{"DSA", pki.Shape{SPKI: pki.DSASPKI()}, func(c *x509.Certificate) bool { return c.PublicKeyAlgorithm == x509.DSA }},
		{"X25519", pki.Shape{SPKI: pki.X25519SPKI()}, parses},
		{"RSA-8193", pki.Shape{SPKI: pki.RSASPKI(8193, big.NewInt(65537))}, parses},
		{"e = 1", pki.Shape{SPKI: pki.RSASPKI(2048, big.NewInt(1))}, parses},
		{"e = 2^64", pki.Shape{SPKI: pki.RSASPKI(2048, new(big.Int).Lsh(big.NewInt(1), 64))}, nil},
		{"secp256k1", pki.Shape{SPKI: pki.CurveSPKI(pki.OID{1, 3, 132, 0, 10}, 32)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaf, err := env.Clients.Issue(tt.shape)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.want == nil && leaf.X509 != nil:
				t.Errorf("parses, want an error")
			case tt.want != nil && leaf.X509 == nil:
				t.Errorf("does not parse: %v", leaf.ParseErr)
			case tt.want != nil && !tt.want(leaf.X509):
				t.Errorf("is not of that shape: %+v", leaf.X509)
			}
		})
	}
}

func TestCRL(t *testing.T) {
	env := pki.New(t)
	alice := env.Client("alice")
	der, err := env.Clients.CRL(pki.CRLShape{
		Number: big.NewInt(7), Revoked: []pki.Revoked{{Serial: alice.X509.SerialNumber, Reason: 1}},
		IDP: &pki.IDP{Names: []pki.GeneralName{pki.URIName("http://a/b")}, OnlyUser: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(env.Clients.X509); err != nil {
		t.Error(err)
	}
	got := list.RevokedCertificateEntries
	if len(got) != 1 || got[0].SerialNumber.Cmp(alice.X509.SerialNumber) != 0 || got[0].ReasonCode != 1 ||
		list.Number.Int64() != 7 || list.AuthorityKeyId == nil || len(list.Extensions) != 3 {
		t.Errorf("got %+v", list)
	}
	if der, err = env.Clients.CRL(pki.CRLShape{Version: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := x509.ParseRevocationList(der); err == nil {
		t.Error("a v1 CRL parses, want an error")
	}
}

func TestOCSP(t *testing.T) {
	env := pki.New(t)
	alice := env.Client("alice")
	delegate := env.Issue(env.Clients, pki.Shape{CN: "ocsp", EKU: []pki.OID{pki.EKUOCSPSigning}})
	for _, tt := range []struct {
		name  string
		shape pki.OCSPShape
		want  int
	}{
		{"by the CA", pki.OCSPShape{}, ocsp.Good},
		{"revoked", pki.OCSPShape{Status: pki.OCSPRevoked, Reason: 1}, ocsp.Revoked},
		{"unknown", pki.OCSPShape{Status: pki.OCSPUnknown}, ocsp.Unknown},
		{"delegate", pki.OCSPShape{Responder: delegate, ByKey: true}, ocsp.Good},
		{"nonce", pki.OCSPShape{Nonce: []byte("12345678"), SHA256: true}, ocsp.Good},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.shape.Serial = alice.X509.SerialNumber
			der, err := env.Clients.OCSP(tt.shape)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ocsp.ParseResponseForCert(der, alice.X509, env.Clients.X509)
			if err != nil {
				t.Fatal(err)
			}
			if got.Status != tt.want || got.NextUpdate.IsZero() {
				t.Errorf("got %+v, want status %d", got, tt.want)
			}
		})
	}
	if _, err := ocsp.ParseResponse(pki.OCSPError(3), nil); err == nil {
		t.Error("tryLater parses as an answer")
	}
}

// trailing appends an ASN.1 NULL behind the extension's value.
func trailing(e pki.Extension) pki.Extension {
	e.Value = append(e.Value, 5, 0)
	return e
}
