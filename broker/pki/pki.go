// Package pki is a certificate authority for development: one directory of files that `pgsignet ca`,
// the demo and people at a shell share.
//
// A CA called NAME is NAME.crt, NAME.key, NAME.crl and NAME.json, which lists what it issued. Several
// CAs may live in one directory. Keys are P-256 in PKCS-8, mode 0600. Every file is written beside
// its place and renamed, and none that exists is overwritten, except the list and the CRL.
//
// It is no CA for production: keys are plain files and nobody approves a request. It verifies no
// peers (broker/trust does) and reads no configuration.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/pgsignet/pgsignet/broker/durable"
)

// Defaults, and how far certificates are dated back so that clocks may differ.
const (
	DefaultName         = "ca"
	DefaultCALifetime   = 10 * 365 * 24 * time.Hour
	DefaultLeafLifetime = 90 * 24 * time.Hour
	DefaultCRLLifetime  = 30 * 24 * time.Hour

	backdate = 5 * time.Minute
)

// Config describes a new CA.
type Config struct {
	Dir         string        // made if it does not exist
	Name        string        // of its files; "" is DefaultName
	Subject     Subject       // without a CN: "pgsignet development CA", and the name if it is another
	Lifetime    time.Duration // 0: DefaultCALifetime
	CRLLifetime time.Duration // of its first CRL; 0: DefaultCRLLifetime
}

// CA is a certificate authority on disk. Its methods lock its files against other processes and may
// be called from several goroutines.
type CA struct {
	// Certificate is the CA's own; do not change it.
	Certificate *x509.Certificate

	dir, name string
	key       crypto.Signer
}

// Init makes a CA: its key, its certificate, an empty list and an empty CRL with number 1. It fails if
// any of the four files exists. The CA may sign end entities only (pathlen 0).
func Init(cfg Config) (*CA, error) {
	if cfg.Name == "" {
		cfg.Name = DefaultName
	}
	if err := checkFileName(cfg.Name); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	ca := &CA{dir: cfg.Dir, name: cfg.Name}
	if err := refuseExisting(ca.CertFile(), ca.KeyFile(), ca.CRLFile(), ca.indexFile()); err != nil {
		return nil, err
	}
	der, key, err := newCACertificate(cfg)
	if err != nil {
		return nil, err
	}
	if ca.Certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	ca.key = key
	return ca, ca.create(cfg)
}

// create writes the files of a new CA. The key comes first: it is what others lock.
func (ca *CA) create(cfg Config) error {
	if err := writeKey(ca.KeyFile(), ca.key); err != nil {
		return err
	}
	return ca.locked(func() error {
		if err := durable.Replace(ca.CertFile(), certPEM(ca.Certificate.Raw), 0o644); err != nil {
			return err
		}
		return ca.publish(&index{}, cfg.CRLLifetime)
	})
}

func newCACertificate(cfg Config) ([]byte, crypto.Signer, error) {
	subject := cfg.Subject
	if subject.CN == "" {
		subject.CN = "pgsignet development CA"
		if cfg.Name != DefaultName {
			subject.CN += " " + cfg.Name
		}
	}
	rawSubject, err := subject.encode()
	if err != nil {
		return nil, nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		RawSubject:            rawSubject,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	if err := complete(template, key, orDefault(cfg.Lifetime, DefaultCALifetime)); err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return der, key, err
}

// complete sets what every certificate has: serial, dates and key identifier.
func complete(template *x509.Certificate, key crypto.Signer, lifetime time.Duration) error {
	if lifetime <= 0 {
		return fmt.Errorf("lifetime %v: must be positive", lifetime)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	public, ok := key.Public().(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("key of type %T: want ECDSA", key.Public())
	}
	point, err := public.Bytes()
	if err != nil {
		return err
	}
	id := sha1.Sum(point) // RFC 5280, 4.2.1.2, method 1: an identifier, not a signature
	now := time.Now()
	template.SerialNumber = serial.SetBit(serial, 126, 1) // never zero, 16 octets
	template.SubjectKeyId = id[:]
	template.NotBefore, template.NotAfter = now.Add(-backdate), now.Add(lifetime)
	return nil
}

// Open reads a CA that Init made; "" is DefaultName. A CA past its notAfter opens, since its CRL may
// still be wanted, but issues nothing.
func Open(dir, name string) (*CA, error) {
	if name == "" {
		name = DefaultName
	}
	if err := checkFileName(name); err != nil {
		return nil, err
	}
	ca := &CA{dir: dir, name: name}
	var err error
	if ca.Certificate, err = readCertificate(ca.CertFile()); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist: there is no CA %q in %s; make one with pgsignet ca init", ca.CertFile(), name, dir)
	} else if err != nil {
		return nil, err
	}
	if ca.key, err = readKey(ca.KeyFile()); err != nil {
		return nil, err
	}
	public, ok := ca.key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(ca.Certificate.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of %s", ca.KeyFile(), ca.CertFile())
	}
	if !ca.Certificate.IsCA {
		return nil, fmt.Errorf("%s is not a CA certificate", ca.CertFile())
	}
	return ca, nil
}

// CertFile is the path of the CA's certificate: what client_ca, ca_file and sslrootcert take.
func (ca *CA) CertFile() string { return filepath.Join(ca.dir, ca.name+".crt") }

// KeyFile is the path of the CA's private key.
func (ca *CA) KeyFile() string { return filepath.Join(ca.dir, ca.name+".key") }

// CRLFile is the path of the CA's revocation list.
func (ca *CA) CRLFile() string { return filepath.Join(ca.dir, ca.name+".crl") }

func (ca *CA) indexFile() string { return filepath.Join(ca.dir, ca.name+".json") }

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
