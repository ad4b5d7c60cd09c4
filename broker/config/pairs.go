package config

import (
	"crypto/x509"
	"slices"
)

// serverCertificate checks what clients will see of a server.
func (d *decoder) serverCertificate(what string, cert, key file) {
	certs := d.pair(cert, key)
	if certs == nil {
		return
	}
	leaf := certs[0].cert
	d.inDate(what, certs[0])
	if len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0 {
		d.warnf(cert.at, "No subjectAltName", "%s %s in %s names no DNS name or IP address in subjectAltName; clients that check the server's name refuse it.", what, subject(leaf), cert.path)
	}
	if !extKeyUsage(leaf, x509.ExtKeyUsageServerAuth) {
		d.warnf(cert.at, "Not a server's certificate", "%s %s in %s has an extended key usage without serverAuth; most clients refuse it.", what, subject(leaf), cert.path)
	}
}

// extKeyUsage reports whether c may be used so: it says so, or says nothing.
func extKeyUsage(c *x509.Certificate, want x509.ExtKeyUsage) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(c.ExtKeyUsage, want) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// clientCertificate checks what the broker shows to a server.
func (d *decoder) clientCertificate(server string, cert, key file) {
	certs := d.pair(cert, key)
	if certs == nil {
		return
	}
	d.inDate("The broker's certificate", certs[0])
	if !extKeyUsage(certs[0].cert, x509.ExtKeyUsageClientAuth) {
		d.warnf(cert.at, "Not a client's certificate", "The broker's certificate %s in %s has an extended key usage without clientAuth; %s refuses it.", subject(certs[0].cert), cert.path, server)
	}
}

// issuerCertificate checks a CA that mints certificates for roles (T75), and notes it.
func (d *decoder) issuerCertificate(cert, key file) {
	certs := d.pair(cert, key)
	if certs == nil {
		return
	}
	p := certs[0]
	d.inDate("The issuer's certificate", p)
	if err := usableAnchor(p.cert); err != nil {
		d.errorf(cert.at, "Not a CA", "The certificate %s in %s cannot mint certificates: %v.", subject(p.cert), cert.path, err)
		return
	}
	if !p.cert.MaxPathLenZero {
		d.warnf(cert.at, "Issuer without path length", "The certificate %s in %s could also make CAs; a CA that only mints role certificates has basicConstraints pathlen:0.", subject(p.cert), cert.path)
	}
	d.issuers = append(d.issuers, p)
}
