package identity

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// maxSPIFFE is the longest SPIFFE ID in bytes (SPIFFE-ID, 2.3), maxTrustDomain the longest trust domain.
const (
	maxSPIFFE      = 2048
	maxTrustDomain = 255
)

// SPIFFEID returns the SPIFFE ID of a leaf and its trust domain, which picks the bundle it is verified
// with (T27). All are empty for a leaf without a "spiffe:" URI. The leaf need not be verified yet.
//
// The error is an *Error: ambiguous_identity when there are other URIs beside (T26), spiffe for an ID
// or a certificate that breaks T25 or T26, illegal_value for a SAN that cannot be read.
func SPIFFEID(leaf *x509.Certificate) (id, trustDomain string, err error) {
	value, err := extension(leaf, oidSubjectAltName)
	if err != nil || value == nil {
		return "", "", err
	}
	names, refused := parseAltNames(value)
	if refused != nil {
		return "", "", refused
	}
	id, trustDomain, refused = svid(leaf, names.uri)
	if refused != nil {
		return "", "", refused
	}
	return id, trustDomain, nil
}

// svid applies T25 and T26 to the URIs of a leaf.
func svid(leaf *x509.Certificate, uris []string) (id, trustDomain string, refused *Error) {
	claims := false
	for _, uri := range uris {
		claims = claims || claimsSPIFFE(uri)
	}
	if !claims {
		return "", "", nil
	}
	const field = "SPIFFE ID"
	if len(uris) > 1 {
		return "", "", refuse(ReasonAmbiguous, field, "%d URIs, where an SVID has exactly one", len(uris))
	}
	trustDomain, err := ParseSPIFFE(uris[0])
	if err != nil {
		return "", "", refuse(ReasonSPIFFE, field, "%v", err)
	}
	if err := svidUsage(leaf); err != nil {
		return "", "", refuse(ReasonSPIFFE, "SVID", "%v", err)
	}
	return uris[0], trustDomain, nil
}

// claimsSPIFFE reports whether a URI has the scheme spiffe in any case: "SPIFFE://…" is a bad SPIFFE
// ID, not a URI of another kind.
func claimsSPIFFE(uri string) bool {
	return len(uri) >= 7 && strings.EqualFold(uri[:7], "spiffe:")
}

// ParseSPIFFE checks a SPIFFE ID of a workload and returns its trust domain (T25). It works on the raw
// text: url.URL decodes %41 and lets user info, port, "//", "..", %00 and a query through.
func ParseSPIFFE(id string) (trustDomain string, err error) {
	if len(id) > maxSPIFFE {
		return "", errors.New("longer than 2048 bytes")
	}
	rest, ok := strings.CutPrefix(id, "spiffe://")
	if !ok {
		return "", errors.New("does not start with spiffe://")
	}
	trustDomain, path, ok := strings.Cut(rest, "/")
	if trustDomain == "" || len(trustDomain) > maxTrustDomain || !each(trustDomain, trustDomainChar) {
		return "", errors.New("trust domain is not 1 to 255 of a-z 0-9 . _ -")
	}
	if !ok {
		return "", errors.New("names a trust domain, not a workload")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || !each(segment, segmentChar) {
			return "", errors.New("path has a segment that is empty, a dot segment, or not of a-z A-Z 0-9 . _ -")
		}
	}
	return trustDomain, nil
}

func each(s string, allowed func(byte) bool) bool {
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}

func segmentChar(c byte) bool { return alphanumeric(c) || c == '.' || c == '_' || c == '-' }

func trustDomainChar(c byte) bool { return segmentChar(c) && (c < 'A' || c > 'Z') }

var oidKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 15}

// svidUsage checks that the leaf is no CA and signs, and only that (X509-SVID, 4.1 and 4.3).
func svidUsage(leaf *x509.Certificate) error {
	if leaf.IsCA {
		return errors.New("is a CA")
	}
	usage, err := extension(leaf, oidKeyUsage)
	if err != nil {
		return err
	}
	in := cryptobyte.String(usage)
	var bits asn1.BitString
	switch {
	case usage == nil, !in.ReadASN1BitString(&bits), !in.Empty():
		return errors.New("has no key usage")
	case bits.At(0) != 1:
		return errors.New("key usage lacks digitalSignature")
	case bits.At(5) == 1, bits.At(6) == 1:
		return errors.New("key usage has keyCertSign or cRLSign")
	}
	return nil
}

// extension returns the value of the extension of that OID, nil when there is none. Two of one OID are
// illegal_value: crypto/x509 refuses to parse them, so this is a second lock on the same door.
func extension(cert *x509.Certificate, id asn1.ObjectIdentifier) ([]byte, error) {
	var value []byte
	found := false
	for _, e := range cert.Extensions {
		if !e.Id.Equal(id) {
			continue
		}
		if found {
			return nil, refuse(ReasonIllegal, "extension "+id.String(), "occurs twice")
		}
		found = true
		value = e.Value
		if value == nil {
			value = []byte{}
		}
	}
	return value, nil
}
