package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// anchors reads trust anchors and reports those that can be none (T36).
func (d *decoder) anchors(what string, files []file) []placed {
	var out []placed
	for _, f := range files {
		for _, p := range d.certificates(f) {
			if err := usableAnchor(p.cert); err != nil {
				d.errorf(f.at, "Not a trust anchor", "The certificate %s in %s: %v.", subject(p.cert), f.path, err)
				continue
			}
			d.anchorDate(what, p)
			d.oddCA(p)
			out = append(out, p)
		}
	}
	return out
}

func usableAnchor(c *x509.Certificate) error {
	switch {
	case c.Version != 3:
		return fmt.Errorf("it is an X.509 v%d certificate; a CA needs v3", c.Version)
	case !c.BasicConstraintsValid || !c.IsCA:
		return errors.New("it is not a CA certificate (basicConstraints cA); name the CA that issued it")
	case hasExtension(c, oidKeyUsage) && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("its keyUsage does not include keyCertSign")
	case bytes.Equal(c.RawSubject, emptySequence):
		return errors.New("its subject is empty")
	}
	return strongKey(c)
}

var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidPolicyConstr     = asn1.ObjectIdentifier{2, 5, 29, 36}
	emptySequence       = []byte{0x30, 0}
)

func hasExtension(c *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oid) })
}

func critical(c *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oid) && e.Critical })
}

// strongKey accepts the keys of T42.
func strongKey(c *x509.Certificate) error {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 || n%8 != 0 {
			return fmt.Errorf("its RSA key has %d bits; at least 2048, in whole bytes, are needed", n)
		}
		return nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return fmt.Errorf("its key is on curve %s; use P-256, P-384 or P-521", k.Curve.Params().Name)
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("its key is of kind %s; use RSA, ECDSA or Ed25519", c.PublicKeyAlgorithm)
}

// oddCA warns about what is accepted here but not by every verifier (T46).
func (d *decoder) oddCA(p placed) {
	var odd []string
	if len(p.cert.SubjectKeyId) == 0 {
		odd = append(odd, "it has no subjectKeyIdentifier")
	}
	if !critical(p.cert, oidBasicConstraints) {
		odd = append(odd, "its basicConstraints is not critical")
	}
	if hasExtension(p.cert, oidPolicyConstr) && !critical(p.cert, oidPolicyConstr) {
		odd = append(odd, "its policyConstraints is not critical")
	}
	if odd != nil {
		d.warnf(p.file.at, "Unusual CA certificate", "The certificate %s in %s is accepted, but other software may refuse it: %s.", subject(p.cert), p.file.path, strings.Join(odd, "; "))
	}
}
