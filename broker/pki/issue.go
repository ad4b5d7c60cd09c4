package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/pgsignet/pgsignet/broker/durable"
)

// Request describes a certificate to issue. All it lacks is a client certificate without a subject.
type Request struct {
	Name       string // of its files NAME.crt and NAME.key
	Subject    Subject
	AltNames   AltNames
	Extensions []Extension
	Lifetime   time.Duration // 0: DefaultLeafLifetime, at most until the CA's own end

	// Server makes a server's certificate (extendedKeyUsage serverAuth instead of clientAuth). Without
	// DNS names and addresses it is for localhost, 127.0.0.1 and ::1.
	Server bool

	// Check may refuse the finished certificate before anything is written. Nil accepts all.
	Check func(*x509.Certificate) error
}

// Issued is a certificate with its files.
type Issued struct {
	Certificate       *x509.Certificate
	CertFile, KeyFile string
}

// Issue makes a key and a certificate, enters it in the list and writes both files. It fails, with
// nothing changed, if one of the files exists.
func (ca *CA) Issue(r Request) (*Issued, error) {
	if err := checkFileName(r.Name); err != nil {
		return nil, err
	}
	base := filepath.Join(ca.dir, r.Name)
	issued := &Issued{CertFile: base + ".crt", KeyFile: base + ".key"}
	cert, key, err := ca.sign(r)
	if err != nil {
		return nil, err
	}
	issued.Certificate = cert
	err = ca.locked(func() error {
		if err := refuseExisting(issued.CertFile, issued.KeyFile); err != nil {
			return err
		}
		if err := ca.enter(r.Name, cert); err != nil {
			return err
		}
		if err := writeKey(issued.KeyFile, key); err != nil {
			return err
		}
		if err := durable.Replace(issued.CertFile, certPEM(cert.Raw), 0o644); err != nil {
			return errors.Join(err, os.Remove(issued.KeyFile))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return issued, nil
}

// enter adds a certificate to the list; its files come after, so that none exists that cannot be revoked.
func (ca *CA) enter(name string, cert *x509.Certificate) error {
	idx, err := ca.readIndex()
	if err != nil {
		return err
	}
	idx.Certificates = append(idx.Certificates, entry{
		Serial: cert.SerialNumber.Text(16), Name: name, Subject: cert.Subject.String(), NotAfter: cert.NotAfter,
	})
	return ca.writeIndex(idx)
}

func (ca *CA) sign(r Request) (*x509.Certificate, crypto.Signer, error) {
	template, err := r.template()
	if err != nil {
		return nil, nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	if err := complete(template, key, orDefault(r.Lifetime, DefaultLeafLifetime)); err != nil {
		return nil, nil, err
	}
	if err := ca.fitInto(template, r.Lifetime != 0); err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Certificate, key.Public(), ca.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	if r.Check != nil {
		err = r.Check(cert)
	}
	return cert, key, err
}

// fitInto keeps the certificate within the CA's own validity: a longer one is cut, or refused if it was asked for.
func (ca *CA) fitInto(template *x509.Certificate, asked bool) error {
	end := ca.Certificate.NotAfter
	switch {
	case !time.Now().Before(end):
		return fmt.Errorf("%s: the CA expired at %s", ca.CertFile(), end.Format(time.RFC3339))
	case !template.NotAfter.After(end):
		return nil
	case asked:
		return fmt.Errorf("lifetime: goes beyond the CA's own end at %s", end.Format(time.RFC3339))
	}
	template.NotAfter = end
	return nil
}

// template is the certificate without serial, dates and key. Extensions that Go would write in a way of
// its own (SAN) are written here.
func (r Request) template() (*x509.Certificate, error) {
	usage := x509.ExtKeyUsageClientAuth
	if r.Server {
		usage = x509.ExtKeyUsageServerAuth
		if len(r.AltNames.DNS) == 0 && len(r.AltNames.IP) == 0 {
			r.AltNames.DNS = []string{"localhost"}
			r.AltNames.IP = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
		}
	}
	subject, errSubject := r.Subject.encode()
	san, errSAN := r.AltNames.encode()
	exts, errExt := encodeExtensions(r.Extensions)
	if err := errors.Join(errSubject, errSAN, errExt); err != nil {
		return nil, err
	}
	empty := len(subject) == 2 // an empty SEQUENCE
	if san != nil {
		exts = append([]pkix.Extension{{Id: oidSubjectAltName, Critical: empty, Value: san}}, exts...)
	} else if empty && len(exts) == 0 {
		return nil, fmt.Errorf("certificate %q: names nobody; give it a CN, an e-mail address, a DNS name, a URI or an IP address", r.Name)
	}
	return &x509.Certificate{
		RawSubject:            subject,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{usage},
		BasicConstraintsValid: true,
		ExtraExtensions:       exts,
	}, nil
}

func encodeExtensions(list []Extension) ([]pkix.Extension, error) {
	var exts []pkix.Extension
	seen := map[string]bool{}
	for _, e := range list {
		value, err := e.encode()
		if err != nil {
			return nil, err
		}
		id := e.ID.String()
		if seen[id] {
			return nil, fmt.Errorf("extension %s: given twice", id)
		}
		seen[id] = true
		exts = append(exts, pkix.Extension{Id: e.ID, Value: value})
	}
	return exts, nil
}
