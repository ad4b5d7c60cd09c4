package pki

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Subject is a distinguished name, written in the order O, OU, CN, each as UTF8String, as OpenSSL does
// unless told otherwise.
type Subject struct {
	O, OU []string
	CN    string // "": none
}

var (
	oidCN = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidO  = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidOU = asn1.ObjectIdentifier{2, 5, 4, 11}
)

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value string `asn1:"utf8"`
}

// maxNameText is how many characters a CN, O or OU may have: ub-common-name and its like in X.520 and in
// RFC 5280, appendix A.1. What logs in may have more (T17): others have issued it.
const maxNameText = 64

// encode returns the name in DER.
func (s Subject) encode() ([]byte, error) {
	rdns := [][]attribute{} // not nil: an empty name is an empty SEQUENCE
	add := func(flag string, typ asn1.ObjectIdentifier, value string) error {
		if err := checkText(flag, value); err != nil {
			return err
		}
		if n := utf8.RuneCountInString(value); n > maxNameText {
			return fmt.Errorf("%s %q: has %d characters, and X.520 allows %d: choose a shorter one", flag, value, n, maxNameText)
		}
		rdns = append(rdns, []attribute{{typ, value}})
		return nil
	}
	var errs []error
	for _, v := range s.O {
		errs = append(errs, add("o", oidO, v))
	}
	for _, v := range s.OU {
		errs = append(errs, add("ou", oidOU, v))
	}
	if s.CN != "" {
		errs = append(errs, add("cn", oidCN, s.CN))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return marshalName(rdns)
}

// marshalName writes RDNSequence. encoding/asn1 has no slice of SETs, so the SETs are made one by one.
func marshalName(rdns [][]attribute) ([]byte, error) {
	sets := make([]asn1.RawValue, len(rdns))
	for i, rdn := range rdns {
		der, err := asn1.MarshalWithParams(rdn, "set")
		if err != nil {
			return nil, err
		}
		sets[i].FullBytes = der
	}
	return asn1.Marshal(sets)
}

// checkText refuses what pgsignet would refuse in a certificate, and empty text.
func checkText(what, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("%s: empty", what)
	case !utf8.ValidString(value):
		return fmt.Errorf("%s %q: not UTF-8", what, value)
	case strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("%s %q: holds a control character", what, value)
	}
	return nil
}

// AltNames are subject alternative names, written as they are given, in this order.
type AltNames struct {
	DNS, Email, URI []string
	IP              []netip.Addr
}

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// Tags of GeneralName (RFC 5280, 4.2.1.6).
const (
	tagEmail = 1
	tagDNS   = 2
	tagURI   = 6
	tagIP    = 7
)

// encode returns the SAN extension's value, nil when there is no name. URIs are not passed through
// url.URL, which would write some of them differently.
func (n AltNames) encode() ([]byte, error) {
	var names []asn1.RawValue
	add := func(tag int, content []byte) {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: content})
	}
	var errs []error
	for _, v := range n.DNS {
		errs = append(errs, checkIA5("dns", v, func(c byte) bool { return c != ' ' && c != '/' && c != '@' && c != ':' }))
		add(tagDNS, []byte(v))
	}
	for _, v := range n.Email {
		errs = append(errs, checkIA5("email", v, func(c byte) bool { return c != ' ' }))
		if strings.Count(v, "@") != 1 {
			errs = append(errs, fmt.Errorf("email %q: not of the form name@domain", v))
		}
		add(tagEmail, []byte(v))
	}
	for _, v := range n.URI {
		errs = append(errs, checkIA5("uri", v, func(c byte) bool { return c != ' ' }))
		if scheme, _, ok := strings.Cut(v, ":"); !ok || scheme == "" {
			errs = append(errs, fmt.Errorf("uri %q: has no scheme", v))
		}
		add(tagURI, []byte(v))
	}
	for _, v := range n.IP {
		if !v.IsValid() || v.Is4In6() || v.Zone() != "" {
			errs = append(errs, fmt.Errorf("ip %v: want an IPv4 or IPv6 address without zone, not IPv4-mapped", v))
		}
		add(tagIP, v.AsSlice())
	}
	if err := errors.Join(errs...); err != nil || names == nil {
		return nil, err
	}
	return asn1.Marshal(names)
}

func checkIA5(what, value string, allowed func(byte) bool) error {
	if value == "" {
		return fmt.Errorf("%s: empty", what)
	}
	for _, c := range []byte(value) {
		if c >= utf8.RuneSelf {
			return fmt.Errorf("%s %q: not ASCII; write an internationalised domain in its xn-- form", what, value)
		}
		if c < ' ' || c == 0x7f || !allowed(c) {
			return fmt.Errorf("%s %q: %q is not allowed", what, value, c)
		}
	}
	return nil
}

// Extension is a private extension that holds one UTF8String: what match { extension } reads.
type Extension struct {
	ID    asn1.ObjectIdentifier
	Value string
}

// ParseExtension reads "OID=VALUE".
func ParseExtension(s string) (Extension, error) {
	dotted, value, ok := strings.Cut(s, "=")
	if !ok {
		return Extension{}, fmt.Errorf("extension %q: want OID=VALUE", s)
	}
	oid, err := parseOID(dotted)
	if err != nil {
		return Extension{}, fmt.Errorf("extension %q: %w", s, err)
	}
	return Extension{ID: oid, Value: value}, nil
}

// maxArc is the largest arc that every reader of certificates takes: 31 bits, as in crypto/x509.
const maxArc = 1<<31 - 1

func parseOID(dotted string) (asn1.ObjectIdentifier, error) {
	var oid asn1.ObjectIdentifier
	for arc := range strings.SplitSeq(dotted, ".") {
		n := 0
		for _, c := range []byte(arc) {
			if n = n*10 + int(c-'0'); c < '0' || c > '9' || n > maxArc {
				return nil, fmt.Errorf("%q is no object identifier", dotted)
			}
		}
		if arc == "" || len(arc) > 1 && arc[0] == '0' {
			return nil, fmt.Errorf("%q is no object identifier", dotted)
		}
		oid = append(oid, n)
	}
	if len(oid) < 3 || oid[0] > 2 || oid[0] < 2 && oid[1] > 39 {
		return nil, fmt.Errorf("%q is no object identifier of an extension", dotted)
	}
	return oid, nil
}

// encode returns the extension's value.
func (e Extension) encode() ([]byte, error) {
	if len(e.ID) > 2 && e.ID[0] == 2 && e.ID[1] == 5 && e.ID[2] == 29 {
		return nil, fmt.Errorf("extension %v: is one of X.509's own; use an OID of your organisation", e.ID)
	}
	if err := checkText("extension "+e.ID.String(), e.Value); err != nil {
		return nil, err
	}
	return asn1.MarshalWithParams(e.Value, "utf8")
}
