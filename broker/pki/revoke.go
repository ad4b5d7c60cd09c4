package pki

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/broker/durable"
)

// reasons are the CRLReasons a certificate can be revoked for, as RFC 5280 and OpenSSL spell them.
// certificateHold and removeFromCRL are left out: a revocation here is for good.
var reasons = map[string]int{
	"unspecified":          0,
	"keyCompromise":        1,
	"CACompromise":         2,
	"affiliationChanged":   3,
	"superseded":           4,
	"cessationOfOperation": 5,
	"privilegeWithdrawn":   9,
}

// Reasons lists what Revoke takes as a reason.
func Reasons() []string {
	return []string{
		"unspecified", "keyCompromise", "CACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
		"privilegeWithdrawn",
	}
}

// Revocation says which certificate to revoke, by its name or by its serial.
type Revocation struct {
	Name        string        // of its file NAME.crt in the CA's directory
	Serial      string        // hex, colons and case do not matter; instead of Name
	Reason      string        // of Reasons; "": unspecified
	CRLLifetime time.Duration // 0: DefaultCRLLifetime
}

// Revoked tells what was done.
type Revoked struct {
	Serial, Name, Subject string
	CRLNumber             int64
}

// Revoke enters the revocation in the list and publishes a new CRL. A certificate that is revoked already
// or that this CA did not issue is an error.
func (ca *CA) Revoke(r Revocation) (*Revoked, error) {
	if _, ok := reasons[r.Reason]; !ok && r.Reason != "" {
		return nil, fmt.Errorf("reason %q: want one of %s", r.Reason, strings.Join(Reasons(), ", "))
	}
	serial, err := ca.serialOf(r)
	if err != nil {
		return nil, err
	}
	var done Revoked
	err = ca.locked(func() error {
		idx, err := ca.readIndex()
		if err != nil {
			return err
		}
		e := idx.find(serial)
		switch {
		case e == nil:
			return fmt.Errorf("serial %s: CA %q issued no such certificate", serial, ca.name)
		case !e.RevokedAt.IsZero():
			return fmt.Errorf("serial %s: was revoked at %s already", serial, e.RevokedAt.Format(time.RFC3339))
		}
		e.RevokedAt, e.Reason = time.Now().UTC().Truncate(time.Second), r.Reason
		done = Revoked{Serial: serial, Name: e.Name, Subject: e.Subject}
		err = ca.publish(idx, r.CRLLifetime)
		done.CRLNumber = idx.CRLNumber
		return err
	})
	if err != nil {
		return nil, err
	}
	return &done, nil
}

func (ca *CA) serialOf(r Revocation) (string, error) {
	if r.Serial != "" {
		n, ok := new(big.Int).SetString(strings.ReplaceAll(r.Serial, ":", ""), 16)
		if !ok || n.Sign() <= 0 {
			return "", fmt.Errorf("serial %q: is no positive hexadecimal number", r.Serial)
		}
		return n.Text(16), nil
	}
	if err := checkFileName(r.Name); err != nil {
		return "", err
	}
	cert, err := readCertificate(filepath.Join(ca.dir, r.Name+".crt"))
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%w; give the serial (--serial) if its file is gone", err)
	} else if err != nil {
		return "", err
	}
	if !bytes.Equal(cert.RawIssuer, ca.Certificate.RawSubject) || cert.CheckSignatureFrom(ca.Certificate) != nil {
		return "", fmt.Errorf("certificate %q was not issued by CA %q but by %q", r.Name, ca.name, cert.Issuer.String())
	}
	return cert.SerialNumber.Text(16), nil
}

// RenewCRL publishes a CRL with the next number that lasts for lifetime from now (0:
// DefaultCRLLifetime), and returns it.
func (ca *CA) RenewCRL(lifetime time.Duration) (*x509.RevocationList, error) {
	var list *x509.RevocationList
	err := ca.locked(func() error {
		idx, err := ca.readIndex()
		if err != nil {
			return err
		}
		if err := ca.publish(idx, lifetime); err != nil {
			return err
		}
		list, err = ca.readCRL()
		return err
	})
	return list, err
}

// readCRL returns the published CRL, nil when there is none.
func (ca *CA) readCRL() (*x509.RevocationList, error) {
	der, err := readPEM(ca.CRLFile(), "X509 CRL")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ca.CRLFile(), err)
	}
	return list, nil
}

// publish raises the CRL number and writes the list, then the CRL. The list is first: after a failure in
// between the next CRL skips a number, and no two CRLs ever share one. The number also rises above that
// of the published CRL, should the list be an older copy.
func (ca *CA) publish(idx *index, lifetime time.Duration) error {
	published, err := ca.readCRL()
	if err != nil {
		return err
	}
	if published != nil && published.Number != nil {
		idx.CRLNumber = max(idx.CRLNumber, published.Number.Int64())
	}
	idx.CRLNumber++
	der, err := ca.signCRL(idx, orDefault(lifetime, DefaultCRLLifetime))
	if err != nil {
		return err
	}
	if err := ca.writeIndex(idx); err != nil {
		return err
	}
	return durable.Replace(ca.CRLFile(), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o644)
}

func (ca *CA) signCRL(idx *index, lifetime time.Duration) ([]byte, error) {
	if lifetime <= 0 {
		return nil, fmt.Errorf("CRL lifetime %v: must be positive", lifetime)
	}
	now := time.Now()
	template := &x509.RevocationList{
		Number: big.NewInt(idx.CRLNumber), ThisUpdate: now, NextUpdate: now.Add(lifetime),
	}
	for _, e := range idx.Certificates {
		if e.RevokedAt.IsZero() {
			continue
		}
		serial, err := e.serial()
		if err != nil {
			return nil, err
		}
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: serial, RevocationTime: e.RevokedAt, ReasonCode: reasons[e.Reason],
		})
	}
	return x509.CreateRevocationList(rand.Reader, template, ca.Certificate, ca.key)
}
