package trust

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// fact is the outcome of one check on one certificate: the zero value is a failure.
type fact struct {
	pass     bool
	evidence string
}

func passed(evidence string) fact { return fact{pass: true, evidence: evidence} }

func failed(format string, args ...any) fact { return fact{evidence: fmt.Sprintf(format, args...)} }

func outcome(pass bool, evidence string) fact { return fact{pass: pass, evidence: evidence} }

// check is one rule about chain[i] that holds or not whatever the time is.
type check struct {
	reason Reason // also its name in reports
	rule   string // of identity-and-trust.md
	leaf   bool   // looks at the leaf
	ca     bool   // looks at intermediates; anchors were checked when they were loaded
	anchor bool   // looks at the anchor too
	run    func(p *path, i int) fact
}

// checks are all time-independent rules, in the order in which a refusal prefers its reason: what
// the certificate is comes before what it is for.
var checks = []check{
	{reason: IsCA, rule: "T37 T38", leaf: true, run: checkNoCA},
	{reason: Version, rule: "T38", leaf: true, ca: true, run: checkVersion},
	{reason: Serial, rule: "T41", leaf: true, ca: true, run: checkSerial},
	{reason: IllegalValue, rule: "A53", leaf: true, ca: true, run: checkEncoding},
	{reason: WeakKey, rule: "T42", leaf: true, ca: true, anchor: true, run: checkKey},
	{reason: SigAlg, rule: "T42", leaf: true, ca: true, run: checkSigAlg},
	{reason: PathLength, rule: "T35", ca: true, anchor: true, run: checkPathLength},
	{reason: KeyUsage, rule: "T39", leaf: true, ca: true, run: checkKeyUsage},
	{reason: EKU, rule: "T40", leaf: true, ca: true, anchor: true, run: checkEKU},
	{reason: CriticalExt, rule: "T43", leaf: true, ca: true, anchor: true, run: checkCritical},
	{reason: NameConstraint, rule: "T44 T45", leaf: true, ca: true, anchor: true, run: checkNames},
}

func (c *check) appliesTo(p *path, i int) bool {
	switch i {
	case 0:
		return c.leaf
	case len(p.certs) - 1:
		return c.anchor
	}
	return c.ca
}

func checkNoCA(p *path, i int) fact {
	c := p.certs[i]
	return outcome(!c.IsCA, fmt.Sprintf("basicConstraints CA:%t", c.IsCA))
}

// checkVersion: v3; a leaf may be v1 without extensions, which OpenSSL writes (T38).
func checkVersion(p *path, i int) fact {
	c := p.certs[i]
	switch {
	case c.Version == 3:
		return passed("v3")
	case i == 0 && c.Version == 1 && !hasExtensionsField(c.RawTBSCertificate):
		return passed("v1 without extensions")
	case i == 0 && c.Version == 1:
		return failed("v1 with extensions")
	}
	return failed("v%d", c.Version)
}

// checkSerial: positive, at most 20 octets (RFC 5280, 4.1.2.2).
func checkSerial(p *path, i int) fact {
	n := p.certs[i].SerialNumber
	octets := n.BitLen()/8 + 1 // as DER, with the sign bit
	if n.Sign() <= 0 {
		return failed("serial number %s is not positive", n)
	}
	return outcome(octets <= 20, fmt.Sprintf("serial number of %d octets", octets))
}

func checkKey(p *path, i int) fact { return keyFact(p.certs[i]) }

// keyFact: RSA from 2048 bits in whole octets, P-256, P-384, P-521, Ed25519 (T42).
func keyFact(c *x509.Certificate) fact {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		return outcome(bits >= 2048 && bits%8 == 0, fmt.Sprintf("RSA %d bits", bits))
	case *ecdsa.PublicKey:
		ok := k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()
		return outcome(ok, "ECDSA "+k.Curve.Params().Name)
	case ed25519.PublicKey:
		return passed("Ed25519")
	}
	return failed("key algorithm %s", c.PublicKeyAlgorithm)
}

// weakSigAlgs are those that x509.Verify refuses, too.
var weakSigAlgs = []x509.SignatureAlgorithm{
	x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.DSAWithSHA256, x509.ECDSAWithSHA1,
}

func checkSigAlg(p *path, i int) fact {
	alg := p.certs[i].SignatureAlgorithm
	return outcome(alg != x509.UnknownSignatureAlgorithm && !slices.Contains(weakSigAlgs, alg), "signed with "+alg.String())
}

// checkPathLength: basicConstraints' pathLen counts the intermediates below.
func checkPathLength(p *path, i int) fact {
	c := p.certs[i]
	if !c.BasicConstraintsValid || c.MaxPathLen < 0 || c.MaxPathLen == 0 && !c.MaxPathLenZero {
		return passed("no limit")
	}
	return outcome(i-1 <= c.MaxPathLen, fmt.Sprintf("pathLen %d, %d intermediates below", c.MaxPathLen, i-1))
}

// checkKeyUsage tests presence in the extension itself: an empty one reads 0, as if absent (T39).
func checkKeyUsage(p *path, i int) fact {
	c := p.certs[i]
	const sign = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	switch {
	case !hasExtension(c, oidKeyUsage):
		return passed("absent")
	case i > 0:
		return outcome(c.KeyUsage&x509.KeyUsageCertSign != 0, usageText(c.KeyUsage))
	}
	return outcome(c.KeyUsage&x509.KeyUsageDigitalSignature != 0 && c.KeyUsage&sign == 0, usageText(c.KeyUsage))
}

// usageText lists the bits that matter here.
func usageText(u x509.KeyUsage) string {
	var names []string
	for _, b := range []struct {
		bit  x509.KeyUsage
		name string
	}{
		{x509.KeyUsageDigitalSignature, "digitalSignature"},
		{x509.KeyUsageKeyEncipherment, "keyEncipherment"},
		{x509.KeyUsageCertSign, "keyCertSign"},
		{x509.KeyUsageCRLSign, "cRLSign"},
	} {
		if u&b.bit != 0 {
			names = append(names, b.name)
			u &^= b.bit
		}
	}
	if u != 0 {
		names = append(names, "others")
	}
	if names == nil {
		return "keyUsage: none"
	}
	return "keyUsage: " + strings.Join(names, ", ")
}

// checkEKU: absent passes; present must name the purpose, on the leaf by name, on a CA also as
// anyExtendedKeyUsage, since x509 nests purposes up the chain (T40).
func checkEKU(p *path, i int) fact {
	c := p.certs[i]
	if !hasExtension(c, oidExtKeyUsage) {
		return passed("absent: any purpose, as in PostgreSQL and RFC 5280")
	}
	if slices.Contains(c.ExtKeyUsage, p.purpose) {
		return passed("names the purpose")
	}
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 {
		return failed("extendedKeyUsage is an empty list")
	}
	if slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return outcome(i > 0, "anyExtendedKeyUsage alone")
	}
	return failed("extendedKeyUsage does not name client authentication")
}

// checkCritical: an extension that is critical and that nobody here reads (T43).
func checkCritical(p *path, i int) fact {
	var unknown []string
	for _, id := range p.certs[i].UnhandledCriticalExtensions {
		known := id.Equal(oidNameConstraints) || id.Equal(oidSubjectAltName) // constraints.go evaluates these
		if !known && !(i == 0 && p.mapped[id.String()]) {
			unknown = append(unknown, id.String())
		}
	}
	if unknown == nil {
		return passed("none unknown")
	}
	return failed("unknown critical extension %s", ascii(strings.Join(unknown, ", ")))
}

// checkNames: a leaf has no name constraints; a CA's hold for everything below it (T44, T45).
func checkNames(p *path, i int) fact {
	if !hasExtension(p.certs[i], oidNameConstraints) {
		return passed("none")
	}
	if i == 0 {
		return failed("name constraints in a certificate that is no CA")
	}
	if s := checkConstraints(p.certs, i); s != "" {
		return fact{evidence: s}
	}
	return passed("every name below is permitted")
}
