package identity

import (
	"encoding/asn1"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Attribute is one attribute of a distinguished name, as it stands in the certificate.
// Its slices are parts of the bytes ParseName was given.
type Attribute struct {
	Type  asn1.ObjectIdentifier
	Tag   cbasn1.Tag // of the value
	Value []byte     // content octets of the value, not converted
	DER   []byte     // the whole value with tag and length
}

// RDN is one relative distinguished name; several attributes make it multi-valued.
type RDN struct {
	Attributes []Attribute // in the certificate's order
	DER        []byte      // the whole SET
}

var errName = errors.New("malformed distinguished name")

// ParseName splits a DER distinguished name (RawSubject, RawIssuer) into its RDNs, in the
// certificate's order. It is stricter than crypto/x509: nothing may follow a value inside its
// attribute, nor the name itself, and no RDN is empty. Values are neither checked nor converted.
func ParseName(raw []byte) ([]RDN, error) {
	in := cryptobyte.String(raw)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() {
		return nil, errName
	}
	var rdns []RDN
	for !seq.Empty() {
		var element cryptobyte.String
		if !seq.ReadASN1Element(&element, cbasn1.SET) {
			return nil, errName
		}
		attrs, err := parseRDN(element)
		if err != nil {
			return nil, err
		}
		rdns = append(rdns, RDN{Attributes: attrs, DER: element})
	}
	return rdns, nil
}

func parseRDN(element cryptobyte.String) ([]Attribute, error) {
	var set cryptobyte.String
	if !element.ReadASN1(&set, cbasn1.SET) || set.Empty() {
		return nil, errName
	}
	var attrs []Attribute
	for !set.Empty() {
		var (
			seq, value cryptobyte.String
			a          Attribute
		)
		if !set.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&a.Type) ||
			!seq.ReadAnyASN1Element(&value, &a.Tag) || !seq.Empty() {
			return nil, errName
		}
		a.DER = value
		if !value.ReadAnyASN1((*cryptobyte.String)(&a.Value), &a.Tag) {
			return nil, errName
		}
		attrs = append(attrs, a)
	}
	return attrs, nil
}
