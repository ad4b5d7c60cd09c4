package trust

import (
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// crypto/x509 and OpenSSL read the extensions that RFC 5280 defines and skip what stands behind them,
// or behind the last field within some of them: bytes that are signed and that nobody has looked at.

// standardArcs hold the extensions of RFC 5280: id-ce and id-pe. Others may hold anything.
var standardArcs = []asn1.ObjectIdentifier{{2, 5, 29}, {1, 3, 6, 1, 5, 5, 7, 1}}

// checkEncoding: a standard extension is exactly one DER value, of its type where we use it (A53).
func checkEncoding(p *path, i int) fact {
	for _, e := range p.certs[i].Extensions {
		if isStandard(e.Id) && !exactly(e.Id, e.Value) {
			return failed("extension %s is not exactly one value in DER", e.Id)
		}
	}
	return passed("no bytes behind an extension's value")
}

func isStandard(id asn1.ObjectIdentifier) bool {
	for _, arc := range standardArcs {
		if len(id) == len(arc)+1 && id[:len(arc)].Equal(arc) {
			return true
		}
	}
	return false
}

// exactly says that value is one DER value and nothing else. Of extensions that decide here it also
// reads the fields. An encoding that is merely not the shortest (a FALSE that is the default, a named
// bit list with zeros at its end) is common, leaves nothing unread, and passes.
func exactly(id asn1.ObjectIdentifier, value []byte) bool {
	s, content := cryptobyte.String(value), cryptobyte.String(nil)
	var tag der.Tag
	if !s.ReadAnyASN1(&content, &tag) || !s.Empty() {
		return false
	}
	switch {
	case id.Equal(oidKeyUsage):
		return tag == der.BIT_STRING
	case id.Equal(oidExtKeyUsage):
		for !content.Empty() {
			if !content.SkipASN1(der.OBJECT_IDENTIFIER) {
				return false
			}
		}
		return tag == der.SEQUENCE
	case id.Equal(oidBasicConstraints):
		return tag == der.SEQUENCE && content.SkipOptionalASN1(der.BOOLEAN) && content.SkipOptionalASN1(der.INTEGER) && content.Empty()
	}
	return true
}
