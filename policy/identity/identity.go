package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Identity holds what a certificate says of its owner, in the form that rules compare byte for byte.
// Text is valid UTF-8 without control, bidirectional and invisible characters (T16); beyond that it
// is whatever the issuer signed: never a format, a template, SQL or a metric label. An empty string
// and an empty list mean that the certificate has no such value, and no rule on it fits.
//
// Lists are in the certificate's order. An Identity is not changed after Extract, save for Anchors.
type Identity struct {
	// CN is the subject's commonName, if there is exactly one and it is not empty (T18).
	CN string
	// CNs holds every commonName that is not empty: a deny on cn fits when any does.
	CNs []string
	// O and OU hold every organizationName and organizationalUnitName.
	O, OU []string

	// DN and Issuer are subject and issuer as OpenSSL prints them under RFC 2253; see FormatDN.
	DN, Issuer string

	// Email holds the rfc822Names of the SAN, domains in lower case; quoted local parts are left out (T22).
	Email []string
	// DNS holds the dNSNames of the SAN in lower case, without wildcards and what is no host name (T21).
	DNS []string
	// URI holds the uniformResourceIdentifiers of the SAN, raw; the SPIFFE ID is among them (T24).
	URI []string
	// IP holds the iPAddresses of the SAN; IPv4-mapped IPv6 addresses are left out (T23).
	IP []netip.Addr

	// SPIFFE is the SPIFFE ID, if the leaf is a valid SVID (T25, T26).
	SPIFFE string

	// Serial is the serial number in lower-case hex without leading zeros (T29). It is unique only
	// together with Issuer.
	Serial string
	// SHA256 is the fingerprint of the certificate, SPKISHA256 that of its SubjectPublicKeyInfo, in
	// lower-case hex.
	SHA256, SPKISHA256 string
	// Anchors holds the SHA-256, in lower-case hex, of the anchor of each accepted chain (T91).
	// Extract leaves it empty; the caller that verified the chains sets it.
	Anchors []string

	// Extension holds the string in each mapped extension that the certificate has, by dotted OID (T28).
	Extension map[string]string

	// Ambiguous says that the certificate has several CNs, or other URIs beside a SPIFFE ID, so that
	// CN or SPIFFE is empty: a refusal for lack of a map is then ambiguous_identity (T18, T26).
	Ambiguous bool

	// NotBefore and NotAfter are the certificate's own validity; its chain may end sooner.
	NotBefore, NotAfter time.Time
}

// Extract reads the identity out of the leaf of a verified chain. mapped lists, as dotted OIDs, the
// extensions that a rule reads. It keeps no part of the certificate and does not block.
//
// The error is an *Error: cert_limits, or illegal_value, which refuses the certificate whole. Values
// that are merely no identity (a wildcard, an invalid SPIFFE ID) are left out instead.
func Extract(leaf *x509.Certificate, mapped []string) (*Identity, error) {
	if err := CheckLimits(leaf); err != nil {
		return nil, err
	}
	id := &Identity{
		Serial:     leaf.SerialNumber.Text(16),
		SHA256:     fingerprint(leaf.Raw),
		SPKISHA256: fingerprint(leaf.RawSubjectPublicKeyInfo),
		NotBefore:  leaf.NotBefore,
		NotAfter:   leaf.NotAfter,
	}
	for _, read := range []func(*x509.Certificate) error{
		id.readSubject,
		id.readIssuer,
		id.readAltNames,
		func(c *x509.Certificate) error { return id.readExtensions(c, mapped) },
	} {
		if err := read(leaf); err != nil {
			return nil, err
		}
	}
	return id, nil
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

var (
	oidCommonName         = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidOrganization       = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidOrganizationalUnit = asn1.ObjectIdentifier{2, 5, 4, 11}
)

func (id *Identity) readSubject(leaf *x509.Certificate) error {
	rdns, err := ParseName(leaf.RawSubject)
	if err != nil {
		return refuse(ReasonIllegal, "subject", "%v", err)
	}
	names := 0 // commonNames, the empty ones too
	for _, rdn := range rdns {
		for _, a := range rdn.Attributes {
			text, err := stringValue(a.Tag, a.Value)
			if err != nil {
				return refuse(ReasonIllegal, "subject "+typeName(a.Type), "%v", err)
			}
			if a.Type.Equal(oidCommonName) {
				names++
			}
			id.addAttribute(a.Type, text)
		}
	}
	if names == 1 && len(id.CNs) == 1 {
		id.CN = id.CNs[0]
	}
	id.Ambiguous = names > 1
	if id.DN, err = FormatDN(leaf.RawSubject); err != nil {
		return refuse(ReasonIllegal, "subject", "%v", err)
	}
	return nil
}

func (id *Identity) addAttribute(typ asn1.ObjectIdentifier, text string) {
	if text == "" {
		return
	}
	switch {
	case typ.Equal(oidCommonName):
		id.CNs = append(id.CNs, text)
	case typ.Equal(oidOrganization):
		id.O = append(id.O, text)
	case typ.Equal(oidOrganizationalUnit):
		id.OU = append(id.OU, text)
	}
}

// readIssuer prints the issuer. Its string types are the CA's affair: an old CA's T61String is printed,
// not refused.
func (id *Identity) readIssuer(leaf *x509.Certificate) (err error) {
	if id.Issuer, err = FormatDN(leaf.RawIssuer); err != nil {
		return refuse(ReasonIllegal, "issuer", "%v", err)
	}
	return nil
}

func (id *Identity) readAltNames(leaf *x509.Certificate) error {
	value, err := extension(leaf, oidSubjectAltName)
	if err != nil || value == nil {
		return err
	}
	names, refused := parseAltNames(value)
	if refused != nil {
		return refused
	}
	id.Email, id.DNS, id.URI, id.IP = names.email, names.dns, names.uri, names.ip
	id.SPIFFE, _, refused = svid(leaf, names.uri)
	if refused != nil && refused.reason == ReasonAmbiguous {
		id.Ambiguous = true
	}
	return nil
}

func (id *Identity) readExtensions(leaf *x509.Certificate, mapped []string) error {
	for _, e := range leaf.Extensions {
		oid := e.Id.String()
		if !slices.Contains(mapped, oid) {
			continue
		}
		if _, twice := id.Extension[oid]; twice {
			return refuse(ReasonIllegal, "extension "+oid, "occurs twice")
		}
		text, err := extensionText(e.Value)
		if err != nil {
			err.field = "extension " + oid
			return err
		}
		if id.Extension == nil {
			id.Extension = make(map[string]string, len(mapped))
		}
		id.Extension[oid] = text
	}
	return nil
}

// extensionText reads an extension that is exactly one string (T28). The field of its error is not set.
func extensionText(value []byte) (string, *Error) {
	if n := len(value); n > maxValue {
		return "", refuse(ReasonLimits, "", "%d bytes, at most %d are allowed", n, maxValue)
	}
	in := cryptobyte.String(value)
	var content cryptobyte.String
	var tag cbasn1.Tag
	if !in.ReadAnyASN1(&content, &tag) || !in.Empty() {
		return "", refuse(ReasonIllegal, "", "is not exactly one string")
	}
	if tag == tagNumericString {
		return "", refuse(ReasonIllegal, "", "%s where a plain string is expected", tagName(tag))
	}
	text, err := stringValue(tag, content)
	if err != nil {
		return "", refuse(ReasonIllegal, "", "%v", err)
	}
	if text == "" {
		return "", refuse(ReasonIllegal, "", "empty string")
	}
	return text, nil
}
