package pki

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
)

// Leaf is one issued certificate with its key. (A CA's own certificate is one, too.)
type Leaf struct {
	DER      []byte
	X509     *x509.Certificate // nil when Go cannot parse it; ParseErr says why
	ParseErr error
	Key      crypto.Signer
	Chain    [][]byte // DER of the intermediates above it, the issuer first, without the root
}

// CA is a certificate that issues others. Its Leaf may be of any shape: nothing checks that it may sign.
type CA struct {
	Leaf
	Root *CA // the self-signed one at the top; itself for a root
}

// NewRoot makes a self-signed CA. IsCA is set; without a subject it is called "Test Root CA".
func NewRoot(s Shape) (*CA, error) {
	s.IsCA = true
	leaf, err := newLeaf(named(s, "Test Root CA"), nil, nil)
	if err != nil {
		return nil, err
	}
	ca := &CA{Leaf: *leaf}
	ca.Root = ca
	return ca, nil
}

// Intermediate makes a CA below this one. IsCA is set; without a subject it is called "Test Intermediate CA".
func (ca *CA) Intermediate(s Shape) (*CA, error) {
	s.IsCA = true
	leaf, err := ca.Issue(named(s, "Test Intermediate CA"))
	if err != nil {
		return nil, err
	}
	return &CA{Leaf: *leaf, Root: ca.Root}, nil
}

// AsCA uses any certificate as an issuer: an end entity's (A46), a CA's second one (cross-signing).
func (l *Leaf) AsCA(root *CA) *CA { return &CA{Leaf: *l, Root: root} }

// Issue makes and signs a certificate of that shape.
func (ca *CA) Issue(s Shape) (*Leaf, error) {
	by, err := ca.issuer()
	if err != nil {
		return nil, err
	}
	var chain [][]byte
	if ca.Root != ca {
		chain = append([][]byte{ca.DER}, ca.Chain...)
	}
	return newLeaf(s, by, chain)
}

// SelfSigned makes a certificate signed with its own key that is no CA unless the shape says so (A37).
func SelfSigned(s Shape) (*Leaf, error) { return newLeaf(s, nil, nil) }

func (ca *CA) issuer() (*issuer, error) {
	if ca.X509 == nil {
		return nil, fmt.Errorf("issue below a CA that does not parse: %w", ca.ParseErr)
	}
	return &issuer{rawSubject: ca.X509.RawSubject, keyID: ca.X509.SubjectKeyId, key: ca.Key}, nil
}

func newLeaf(s Shape, by *issuer, chain [][]byte) (*Leaf, error) {
	der, key, err := build(s, by)
	if err != nil {
		return nil, err
	}
	leaf := &Leaf{DER: der, Key: key, Chain: chain}
	leaf.X509, leaf.ParseErr = x509.ParseCertificate(der)
	return leaf, nil
}

func named(s Shape, cn string) Shape {
	if s.CN == "" && s.Subject == nil && s.RawSubject == nil {
		s.CN = cn
	}
	return s
}

// CertPEM returns the certificate alone.
func (l *Leaf) CertPEM() []byte { return encodePEM(l.DER) }

// PEM returns the certificate and the intermediates above it, as a TLS server or client presents them.
func (l *Leaf) PEM() []byte {
	return append(l.CertPEM(), encodePEM(l.Chain...)...)
}

// KeyPEM returns the key as PKCS-8 PEM.
func (l *Leaf) KeyPEM() ([]byte, error) { return EncodeKey(l.Key) }

// TLS returns what crypto/tls presents: the certificate, its chain and its key.
func (l *Leaf) TLS() tls.Certificate {
	return tls.Certificate{Certificate: append([][]byte{l.DER}, l.Chain...), PrivateKey: l.Key, Leaf: l.X509}
}

// Peer returns the certificate and its chain parsed, as ConnectionState.PeerCertificates holds them.
func (l *Leaf) Peer() ([]*x509.Certificate, error) {
	var peer []*x509.Certificate
	for _, der := range append([][]byte{l.DER}, l.Chain...) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		peer = append(peer, c)
	}
	return peer, nil
}

// SHA256 is the certificate's fingerprint in lower-case hex.
func (l *Leaf) SHA256() string {
	sum := sha256.Sum256(l.DER)
	return hex.EncodeToString(sum[:])
}

// Write stores NAME.crt (with its chain) and NAME.key (PKCS-8, mode 0600) in dir, and returns their paths.
func (l *Leaf) Write(dir, name string) (certFile, keyFile string, err error) {
	key, err := l.KeyPEM()
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	if err := os.WriteFile(certFile, l.PEM(), 0o644); err != nil {
		return "", "", err
	}
	return certFile, keyFile, os.WriteFile(keyFile, key, 0o600)
}

// Pool returns a pool that trusts this CA alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.X509)
	return pool
}

// WriteCA stores the CA's certificate alone as NAME.crt in dir and returns its path: what ca_file,
// client_ca, ssl_ca_file and sslrootcert take.
func (ca *CA) WriteCA(dir, name string) (string, error) {
	path := filepath.Join(dir, name+".crt")
	return path, os.WriteFile(path, ca.CertPEM(), 0o644)
}

func encodePEM(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}
