package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/policy/identity"
)

// expirySoon is how long before its end a certificate is warned about.
const expirySoon = 30 * 24 * time.Hour

// placed is a certificate and where the configuration names its file.
type placed struct {
	cert *x509.Certificate
	file file
}

// certificates reads every certificate of a PEM file; one that does not parse, or none, is an error.
func (d *decoder) certificates(f file) []placed {
	data, ok := d.read(f, maxCertFile)
	if !ok {
		return nil
	}
	certs, err := parseCertificates(data)
	if err != nil {
		d.errorf(f.at, "Not a certificate", "%s: %v.", f.path, err)
		return nil
	}
	var out []placed
	for _, c := range certs {
		out = append(out, placed{c, f})
	}
	return out
}

func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue // a key or parameters in the same file
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no PEM certificate (BEGIN CERTIFICATE) in it")
	}
	return certs, nil
}

// pair checks a certificate file and its key, and returns the certificates, leaf first.
func (d *decoder) pair(cert, key file) []placed {
	certs := d.certificates(cert)
	keyPEM, ok := d.secret(key)
	if !ok {
		return certs
	}
	if err := checkKey(keyPEM); err != nil {
		d.errorf(key.at, "Unusable key", "%s: %v.", key.path, err)
		return certs
	}
	if certs == nil {
		return nil
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certs[0].cert.Raw})
	if _, err := tls.X509KeyPair(leaf, keyPEM); err != nil {
		d.errorf(key.at, "Key does not fit", "%s is not the key of %s in %s (the first certificate there): %s.",
			key.path, subject(certs[0].cert), cert.path, strings.TrimPrefix(err.Error(), "tls: "))
	}
	for i, c := range certs[1:] {
		if !bytes.Equal(certs[i].cert.RawIssuer, c.cert.RawSubject) {
			d.warnf(cert.at, "Certificates out of order", "%s: %s did not issue %s, which stands before it; write the leaf first, then each issuer.",
				cert.path, subject(c.cert), subject(certs[i].cert))
		}
	}
	return certs
}

// checkKey tells apart what tls.X509KeyPair would call a mismatch.
func checkKey(data []byte) error {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return errors.New("no PEM private key in it")
		}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return errors.New("the key is encrypted, and nobody is there to type a passphrase; store it decrypted (openssl pkey) with mode 0600")
		case block.Type == "PRIVATE KEY" || strings.HasSuffix(block.Type, " PRIVATE KEY"):
			return nil
		}
	}
}

// inDate warns about a certificate near its end and refuses one outside its dates, which would fail at
// every connection.
func (d *decoder) inDate(what string, p placed) {
	switch c := p.cert; {
	case d.now.After(c.NotAfter):
		d.errorf(p.file.at, "Expired certificate", "%s %s in %s expired on %s; renew it.", what, subject(c), p.file.path, stamp(c.NotAfter))
	case d.now.Before(c.NotBefore):
		d.errorf(p.file.at, "Certificate not yet valid", "%s %s in %s is valid from %s; the clock here says %s.", what, subject(c), p.file.path, stamp(c.NotBefore), stamp(d.now))
	default:
		d.expiresSoon(what, p)
	}
}

// anchorDate warns: an anchor outside its dates ends only its own chains (T36).
func (d *decoder) anchorDate(what string, p placed) {
	switch c := p.cert; {
	case d.now.After(c.NotAfter):
		d.warnf(p.file.at, "Expired certificate", "%s %s in %s expired on %s: no chain that ends there is accepted. Remove it.", what, subject(c), p.file.path, stamp(c.NotAfter))
	case d.now.Before(c.NotBefore):
		d.warnf(p.file.at, "Certificate not yet valid", "%s %s in %s is valid from %s; until then no chain that ends there is accepted.", what, subject(c), p.file.path, stamp(c.NotBefore))
	default:
		d.expiresSoon(what, p)
	}
}

func (d *decoder) expiresSoon(what string, p placed) {
	left := p.cert.NotAfter.Sub(d.now)
	if left >= expirySoon {
		return
	}
	d.warnf(p.file.at, "Certificate expires soon", "%s %s in %s expires on %s, in %s.", what, subject(p.cert), p.file.path, stamp(p.cert.NotAfter), days(left))
}

// subject is a certificate's subject for messages, as `match` sees it.
func subject(c *x509.Certificate) string {
	if s := nameText(c.RawSubject); s != "" {
		return s
	}
	return fmt.Sprintf("with serial %x", c.SerialNumber)
}

// nameText is a distinguished name in quotes, with everything escaped that is not printable ASCII. It is
// "" for an empty or unreadable one.
func nameText(raw []byte) string {
	dn, err := identity.FormatDN(raw)
	if err != nil || dn == "" {
		return ""
	}
	return identity.Describe(dn)
}

// stamp is a time as all messages write it, in UTC.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func days(d time.Duration) string {
	switch n := int(d / (24 * time.Hour)); n {
	case 0:
		return fmt.Sprintf("%d hours", int(d/time.Hour))
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}
