package pki

import (
	"encoding/asn1"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// OID is an object identifier.
type OID = asn1.ObjectIdentifier

// StringType is the ASN.1 tag number a string is written under.
type StringType byte

// String types of X.520's DirectoryString and their neighbours.
const (
	UTF8String      StringType = 12
	NumericString   StringType = 18
	PrintableString StringType = 19
	T61String       StringType = 20
	IA5String       StringType = 22
	VisibleString   StringType = 26
	UniversalString StringType = 28
	BMPString       StringType = 30
	OctetString     StringType = 4
)

// OIDs of the attribute types that subjects are made of.
var (
	OIDCommonName         = OID{2, 5, 4, 3}
	OIDSurname            = OID{2, 5, 4, 4}
	OIDSerialNumber       = OID{2, 5, 4, 5}
	OIDCountry            = OID{2, 5, 4, 6}
	OIDLocality           = OID{2, 5, 4, 7}
	OIDState              = OID{2, 5, 4, 8}
	OIDStreet             = OID{2, 5, 4, 9}
	OIDOrganization       = OID{2, 5, 4, 10}
	OIDOrganizationalUnit = OID{2, 5, 4, 11}
	OIDTitle              = OID{2, 5, 4, 12}
	OIDGivenName          = OID{2, 5, 4, 42}
	OIDEmailAddress       = OID{1, 2, 840, 113549, 1, 9, 1}
	OIDUserID             = OID{0, 9, 2342, 19200300, 100, 1, 1}
	OIDDomainComponent    = OID{0, 9, 2342, 19200300, 100, 1, 25}
)

// Attr is one attribute of a name: a type and a value under any tag.
type Attr struct {
	Type  OID
	Tag   StringType // 0: UTF8String
	Value []byte     // content octets, written as they are

	DER []byte // when set: the whole value with tag and length, instead of Tag and Value
}

// RDN is one relative distinguished name; its attributes are written in this order, sorted or not.
type RDN []Attr

// Name is a distinguished name, in the order of the certificate (OpenSSL prints it reversed).
type Name []RDN

// CN returns an RDN of one commonName as UTF8String. O, OU and the others likewise.
func CN(v string) RDN { return RDN{Text(OIDCommonName, v)} }

// O returns an RDN of one organizationName.
func O(v string) RDN { return RDN{Text(OIDOrganization, v)} }

// OU returns an RDN of one organizationalUnitName.
func OU(v string) RDN { return RDN{Text(OIDOrganizationalUnit, v)} }

// Country returns an RDN of one countryName, a PrintableString.
func Country(v string) RDN { return RDN{Typed(OIDCountry, PrintableString, v)} }

// DC returns an RDN of one domainComponent, an IA5String.
func DC(v string) RDN { return RDN{Typed(OIDDomainComponent, IA5String, v)} }

// UID returns an RDN of one userId.
func UID(v string) RDN { return RDN{Text(OIDUserID, v)} }

// EmailAddress returns an RDN of one PKCS #9 emailAddress, an IA5String.
func EmailAddress(v string) RDN { return RDN{Typed(OIDEmailAddress, IA5String, v)} }

// Text is an attribute as UTF8String; the bytes of v need not be valid UTF-8.
func Text(typ OID, v string) Attr { return Attr{Type: typ, Value: []byte(v)} }

// Typed is an attribute whose content is the bytes of v under that tag, fitting or not.
func Typed(typ OID, tag StringType, v string) Attr {
	return Attr{Type: typ, Tag: tag, Value: []byte(v)}
}

// BMP is an attribute as BMPString holding v in UTF-16.
func BMP(typ OID, v string) Attr {
	var content []byte
	for _, u := range utf16.Encode([]rune(v)) {
		content = append(content, byte(u>>8), byte(u))
	}
	return Attr{Type: typ, Tag: BMPString, Value: content}
}

// Universal is an attribute as UniversalString holding v in UTF-32.
func Universal(typ OID, v string) Attr {
	var content []byte
	for _, r := range v {
		content = append(content, byte(r>>24), byte(r>>16), byte(r>>8), byte(r))
	}
	return Attr{Type: typ, Tag: UniversalString, Value: content}
}

// Encode returns the name in DER, as it stands in RawSubject.
func (n Name) Encode() []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, rdn := range n {
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
				for _, a := range rdn {
					b.AddASN1(cbasn1.SEQUENCE, a.encode)
				}
			})
		}
	})
	return b.BytesOrPanic()
}

func (a Attr) encode(b *cryptobyte.Builder) {
	b.AddASN1ObjectIdentifier(a.Type)
	if a.DER != nil {
		b.AddBytes(a.DER)
		return
	}
	b.AddASN1(cbasn1.Tag(or(a.Tag, UTF8String)), func(b *cryptobyte.Builder) { b.AddBytes(a.Value) })
}
