package trust

import (
	"crypto/x509"
	"time"
)

// CertInfo describes a loaded certificate, for metrics, `check` and the trust.reload record.
type CertInfo struct {
	Role                string // server, client_ca, or spiffe:DOMAIN
	Subject             string // as OpenSSL prints it, cut
	SHA256              string // lower hex
	NotBefore, NotAfter time.Time
}

// CRLInfo describes a loaded CRL.
type CRLInfo struct {
	File       string
	Issuer     string // as OpenSSL prints it, cut
	Number     string // decimal; "" when it has none
	ThisUpdate time.Time
	NextUpdate time.Time // thisUpdate + 24 h when the list names none
	Entries    int
	Unusable   string // why it never counts, or ""
}

// Certificates lists the listener's own certificate and every anchor.
func (s *Snapshot) Certificates() []CertInfo {
	var out []CertInfo
	if s.server != nil {
		out = append(out, describe("server", s.server.Leaf))
	}
	for _, ca := range s.clients.list {
		out = append(out, describe("client_ca", ca))
	}
	for _, domain := range sortedKeys(s.domains) {
		for _, ca := range s.domains[domain].list {
			out = append(out, describe("spiffe:"+domain, ca))
		}
	}
	return out
}

func describe(role string, c *x509.Certificate) CertInfo {
	return CertInfo{role, certText(c), fingerprintOf(c).String(), c.NotBefore, c.NotAfter}
}

// CRLs lists the loaded revocation lists by file.
func (s *Snapshot) CRLs() []CRLInfo {
	if s.crls == nil {
		return nil
	}
	var out []CRLInfo
	for _, path := range sortedKeys(s.crls.files) {
		for _, l := range s.crls.files[path].lists {
			info := CRLInfo{
				File: path, Issuer: nameText(l.issuer), ThisUpdate: l.thisUpdate, NextUpdate: l.current(),
				Entries: l.serials.len(), Unusable: l.unusable,
			}
			if l.number != nil {
				info.Number = l.number.String()
			}
			out = append(out, info)
		}
	}
	return out
}
