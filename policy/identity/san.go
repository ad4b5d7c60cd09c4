package identity

import (
	"encoding/asn1"
	"net/netip"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// altNames holds the subject alternative names, each list in the certificate's order.
// URIs are all of them, as raw text.
type altNames struct {
	email, dns, uri []string
	ip              []netip.Addr
}

// eachGeneralName calls f with the tag number and the content of every GeneralName of a SAN value.
// It refuses anything around or between them, which crypto/x509 skips.
func eachGeneralName(value []byte, f func(tag uint8, content []byte) *Error) *Error {
	malformed := refuse(ReasonIllegal, "subjectAltName", "malformed")
	in := cryptobyte.String(value)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() {
		return malformed
	}
	for !seq.Empty() {
		var content cryptobyte.String
		var tag cbasn1.Tag
		if !seq.ReadAnyASN1(&content, &tag) {
			return malformed
		}
		number, ok := generalNameTag(tag)
		if !ok {
			return malformed
		}
		if err := f(number, content); err != nil {
			return err
		}
	}
	return nil
}

// Tag numbers of GeneralName (RFC 5280, 4.2.1.6).
const (
	nameOther     = 0
	nameEmail     = 1
	nameDNS       = 2
	nameX400      = 3
	nameDirectory = 4
	nameEDI       = 5
	nameURI       = 6
	nameIP        = 7
	nameOID       = 8
)

// generalNameTag returns the number of a GeneralName's tag, if it is one and in its right form.
func generalNameTag(tag cbasn1.Tag) (number uint8, ok bool) {
	number = uint8(tag) & 0x1f
	want := cbasn1.Tag(number).ContextSpecific()
	switch number {
	case nameOther, nameX400, nameDirectory, nameEDI:
		want = want.Constructed()
	}
	return number, number <= nameOID && tag == want
}

// parseAltNames reads a SAN value. Names of the types that carry no identity (T24) and values that
// are none (T21–T23) are left out; an illegal character or a malformed address refuses all (T16).
func parseAltNames(value []byte) (altNames, *Error) {
	var names altNames
	err := eachGeneralName(value, func(tag uint8, content []byte) *Error {
		switch tag {
		case nameEmail, nameDNS, nameURI:
			text, err := stringValue(cbasn1.IA5String, content)
			if err != nil {
				return refuse(ReasonIllegal, "subjectAltName", "%v", err)
			}
			names.add(tag, text)
		case nameIP:
			addr, ok := netip.AddrFromSlice(content)
			if !ok {
				return refuse(ReasonIllegal, "subjectAltName", "iPAddress of %d bytes", len(content))
			}
			if !addr.Is4In6() {
				names.ip = append(names.ip, addr)
			}
		}
		return nil
	})
	return names, err
}

func (n *altNames) add(tag uint8, text string) {
	switch tag {
	case nameURI:
		n.uri = append(n.uri, text)
	case nameDNS:
		if host, ok := hostName(text); ok {
			n.dns = append(n.dns, host)
		}
	case nameEmail:
		if address, ok := mailbox(text); ok {
			n.email = append(n.email, address)
		}
	}
}

// hostName returns an absolute host name of LDH labels in lower case (T21). No host name: a
// wildcard, a trailing dot, an underscore, and what reads as an IPv4 address, that is, whose last
// label is a number. A-labels are not decoded.
func hostName(name string) (string, bool) {
	if len(name) > 253 { // RFC 1035 in text form
		return "", false
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !ldhLabel(label) {
			return "", false
		}
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return "", false
	}
	return strings.ToLower(name), true
}

// ldhLabel reports whether a label has 1 to 63 letters, digits and inner hyphens (RFC 5890, 2.3.1).
func ldhLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range []byte(label) {
		if !alphanumeric(c) && c != '-' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// mailbox returns an e-mail address with its domain in lower case and its local part as it is (T22).
// No address: one with a quoted local part or an address literal, or that is no RFC 5321 mailbox.
func mailbox(address string) (string, bool) {
	local, domain, ok := strings.Cut(address, "@")
	if !ok || len(local) > 64 { // RFC 5321, 4.5.3.1.1
		return "", false
	}
	for _, atom := range strings.Split(local, ".") {
		if !atext(atom) {
			return "", false
		}
	}
	domain, ok = hostName(domain)
	return local + "@" + domain, ok
}

// atext reports whether s is an Atom of RFC 5321.
func atext(s string) bool {
	for _, c := range []byte(s) {
		if !alphanumeric(c) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) < 0 {
			return false
		}
	}
	return s != ""
}
