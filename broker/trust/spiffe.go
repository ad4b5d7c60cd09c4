package trust

import (
	"crypto/x509"
	"strings"
)

// Longest SPIFFE ID and trust domain, in bytes (SPIFFE-ID 2.1).
const (
	maxSPIFFE = 2048
	maxDomain = 255
)

// anchorsFor picks the anchors that may vouch for leaf. On a listener with SPIFFE bundles a leaf
// that has a spiffe URI is an SVID, and its trust domain's bundle is all that counts (T26, T27);
// any other leaf is for client_ca.
func (s *Snapshot) anchorsFor(leaf *x509.Certificate) (*anchorSet, *Refusal) {
	if s.domains == nil {
		return s.clients, nil
	}
	uris, err := uriNames(leaf)
	if err != nil {
		return nil, refuse(SPIFFE, "its alternative names cannot be read", err)
	}
	id := ""
	for _, u := range uris {
		if len(u) >= 7 && strings.EqualFold(u[:7], "spiffe:") {
			id = u
		}
	}
	if id == "" {
		return s.clients, nil
	}
	if len(uris) > 1 {
		return nil, refuse(Ambiguous, "an X.509-SVID has exactly one URI name", nil)
	}
	domain, ok := trustDomain(id)
	if !ok {
		return nil, refuse(SPIFFE, "its URI is not a SPIFFE ID", nil)
	}
	if why := brokenSVID(leaf); why != "" {
		return nil, refuse(SPIFFE, why, nil)
	}
	set, ok := s.domains[domain]
	if !ok {
		return nil, refuse(UnknownCA, "its trust domain is not one that this server knows", nil)
	}
	return set, nil
}

// brokenSVID holds a leaf to the X.509-SVID standard, sections 4 and 5; "" when it keeps to it.
func brokenSVID(c *x509.Certificate) string {
	switch {
	case c.IsCA:
		return "an X.509-SVID that logs in is no CA"
	case c.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return "an X.509-SVID has key usage digitalSignature"
	case c.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return "an X.509-SVID has neither key usage keyCertSign nor cRLSign"
	}
	return ""
}

// uriNames are the raw URI alternative names: url.URL would decode them (T25).
func uriNames(c *x509.Certificate) ([]string, error) {
	names, err := generalNames(extensionValue(c, oidSubjectAltName))
	if err != nil {
		return nil, err
	}
	var uris []string
	for _, n := range names {
		if n.tag == tagURI {
			uris = append(uris, string(n.value))
		}
	}
	return uris, nil
}

// trustDomain reads the trust domain of a SPIFFE ID that has a path, by the standard's grammar:
// lower-case scheme and domain, no port, user, query or fragment, no empty or dot segment (T25).
func trustDomain(id string) (domain string, ok bool) {
	rest, ok := strings.CutPrefix(id, "spiffe://")
	if !ok || len(id) > maxSPIFFE {
		return "", false
	}
	domain, path, ok := strings.Cut(rest, "/")
	if !ok || !validDomain(domain) {
		return "", false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.Trim(segment, segmentChars) != "" {
			return "", false
		}
	}
	return domain, true
}

const (
	domainChars  = "abcdefghijklmnopqrstuvwxyz0123456789._-"
	segmentChars = domainChars + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// validDomain says that s is a trust domain name.
func validDomain(s string) bool {
	return s != "" && len(s) <= maxDomain && strings.Trim(s, domainChars) == ""
}
