package trust

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// OIDs of the extensions that verification looks at itself.
var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidNameConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidPolicyConstr     = asn1.ObjectIdentifier{2, 5, 29, 36}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
)

var errDER = errors.New("malformed DER")

// Tags of GeneralName (RFC 5280, 4.2.1.6) whose values are read here.
var (
	tagDNS       = der.Tag(2).ContextSpecific()
	tagEmail     = der.Tag(1).ContextSpecific()
	tagDirectory = der.Tag(4).ContextSpecific().Constructed()
	tagURI       = der.Tag(6).ContextSpecific()
	tagIP        = der.Tag(7).ContextSpecific()
)

// generalName is one GeneralName as it was encoded, without its length.
type generalName struct {
	tag   der.Tag
	value []byte
}

// generalNames splits a GeneralNames SEQUENCE; nil in, nil out.
func generalNames(in []byte) ([]generalName, error) {
	if in == nil {
		return nil, nil
	}
	s, seq := cryptobyte.String(in), cryptobyte.String(nil)
	if !s.ReadASN1(&seq, der.SEQUENCE) || !s.Empty() {
		return nil, errDER
	}
	var names []generalName
	for !seq.Empty() {
		var n generalName
		var value cryptobyte.String
		if !seq.ReadAnyASN1(&value, &n.tag) {
			return nil, errDER
		}
		n.value = value
		names = append(names, n)
	}
	return names, nil
}

// extension returns the certificate's extension of that OID. Go refuses to parse duplicates.
func extension(c *x509.Certificate, id asn1.ObjectIdentifier) (value []byte, critical, ok bool) {
	for i := range c.Extensions {
		if c.Extensions[i].Id.Equal(id) {
			return c.Extensions[i].Value, c.Extensions[i].Critical, true
		}
	}
	return nil, false, false
}

// extensionValue is the extension's value, nil if there is none.
func extensionValue(c *x509.Certificate, id asn1.ObjectIdentifier) []byte {
	v, _, _ := extension(c, id)
	return v
}

func hasExtension(c *x509.Certificate, id asn1.ObjectIdentifier) bool {
	_, _, ok := extension(c, id)
	return ok
}

// rdns splits a Name into the content octets of its RDNs.
func rdns(rawName []byte) (out []cryptobyte.String, ok bool) {
	s, seq := cryptobyte.String(rawName), cryptobyte.String(nil)
	if !s.ReadASN1(&seq, der.SEQUENCE) || !s.Empty() {
		return nil, false
	}
	for !seq.Empty() {
		var set cryptobyte.String
		if !seq.ReadASN1(&set, der.SET) {
			return nil, false
		}
		out = append(out, set)
	}
	return out, true
}

// attribute is one AttributeTypeAndValue.
type attribute struct {
	oid   []byte // content octets of the type
	tag   der.Tag
	value []byte
}

func readAttribute(set *cryptobyte.String) (a attribute, ok bool) {
	var seq, oid, value cryptobyte.String
	if !set.ReadASN1(&seq, der.SEQUENCE) || !seq.ReadASN1(&oid, der.OBJECT_IDENTIFIER) ||
		!seq.ReadAnyASN1(&value, &a.tag) || !seq.Empty() {
		return a, false
	}
	a.oid, a.value = oid, value
	return a, true
}

// emptyName says that a Name has no RDN.
func emptyName(rawName []byte) bool {
	sets, ok := rdns(rawName)
	return ok && len(sets) == 0
}

// hasExtensionsField says that TBSCertificate carries an extensions field, whatever its version;
// Go skips that field in v1 and v2 certificates.
func hasExtensionsField(rawTBS []byte) bool {
	s, tbs := cryptobyte.String(rawTBS), cryptobyte.String(nil)
	if !s.ReadASN1(&tbs, der.SEQUENCE) {
		return true
	}
	for !tbs.Empty() {
		var field cryptobyte.String
		var tag der.Tag
		if !tbs.ReadAnyASN1(&field, &tag) {
			return true
		}
		if tag == der.Tag(3).ContextSpecific().Constructed() {
			return true
		}
	}
	return false
}
