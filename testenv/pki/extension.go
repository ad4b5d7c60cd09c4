package pki

import (
	"net"
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Extension is one certificate, CRL or OCSP extension; Value is written as it is, well-formed or not.
type Extension struct {
	ID       OID
	Critical bool
	Value    []byte
}

// OIDs of the extensions written here.
var (
	OIDSubjectKeyID         = OID{2, 5, 29, 14}
	OIDKeyUsage             = OID{2, 5, 29, 15}
	OIDSubjectAltName       = OID{2, 5, 29, 17}
	OIDBasicConstraints     = OID{2, 5, 29, 19}
	OIDCRLNumber            = OID{2, 5, 29, 20}
	OIDReasonCode           = OID{2, 5, 29, 21}
	OIDDeltaCRLIndicator    = OID{2, 5, 29, 27}
	OIDIssuingDistPoint     = OID{2, 5, 29, 28}
	OIDNameConstraints      = OID{2, 5, 29, 30}
	OIDCRLDistributionPoint = OID{2, 5, 29, 31}
	OIDAuthorityKeyID       = OID{2, 5, 29, 35}
	OIDExtKeyUsage          = OID{2, 5, 29, 37}
	OIDAuthorityInfoAccess  = OID{1, 3, 6, 1, 5, 5, 7, 1, 1}
)

// OIDs of extended key usages.
var (
	EKUAny         = OID{2, 5, 29, 37, 0}
	EKUServerAuth  = OID{1, 3, 6, 1, 5, 5, 7, 3, 1}
	EKUClientAuth  = OID{1, 3, 6, 1, 5, 5, 7, 3, 2}
	EKUOCSPSigning = OID{1, 3, 6, 1, 5, 5, 7, 3, 9}
)

// KeyUsageBit is the number of a bit of keyUsage, as RFC 5280 counts them.
type KeyUsageBit int

// Bits of keyUsage.
const (
	DigitalSignature KeyUsageBit = 0
	KeyEncipherment  KeyUsageBit = 2
	KeyAgreement     KeyUsageBit = 4
	KeyCertSign      KeyUsageBit = 5
	CRLSign          KeyUsageBit = 6
)

// der runs f on a fresh builder and returns what it wrote.
func der(f func(b *cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	f(&b)
	return b.BytesOrPanic()
}

// KeyUsage returns the extension with these bits; with none it is present and says nothing (A43).
func KeyUsage(bits ...KeyUsageBit) Extension {
	var octets [2]byte
	last := -1
	for _, bit := range bits {
		octets[bit/8] |= 0x80 >> (bit % 8)
		last = max(last, int(bit))
	}
	used := octets[:(last+8)/8]
	content := append([]byte{byte(len(used)*8 - 1 - last)}, used...)
	value := der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) { b.AddBytes(content) })
	})
	return Extension{ID: OIDKeyUsage, Critical: true, Value: value}
}

// EKU returns extKeyUsage with these purposes; with none it is an empty list (A41).
func EKU(purposes ...OID) Extension {
	return Extension{ID: OIDExtKeyUsage, Value: der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, p := range purposes {
				b.AddASN1ObjectIdentifier(p)
			}
		})
	})}
}

// BasicConstraints returns the extension; pathLen < 0 leaves the length out.
func BasicConstraints(ca bool, pathLen int) Extension {
	return Extension{ID: OIDBasicConstraints, Critical: true, Value: der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			if ca {
				b.AddASN1Boolean(true)
			}
			if pathLen >= 0 {
				b.AddASN1Int64(int64(pathLen))
			}
		})
	})}
}

// SubjectKeyID returns the extension with that key identifier.
func SubjectKeyID(id []byte) Extension {
	return Extension{ID: OIDSubjectKeyID, Value: der(func(b *cryptobyte.Builder) { b.AddASN1OctetString(id) })}
}

// AuthorityKeyID returns the extension with that key identifier.
func AuthorityKeyID(id []byte) Extension {
	return Extension{ID: OIDAuthorityKeyID, Value: der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(id) })
		})
	})}
}

// StringExtension returns an extension that is exactly one string of that type (T28); 0 is UTF8String.
func StringExtension(id OID, tag StringType, v string) Extension {
	return Extension{ID: id, Value: der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(or(tag, UTF8String)), func(b *cryptobyte.Builder) { b.AddBytes([]byte(v)) })
	})}
}

// GeneralName is one GeneralName in DER: a name of SAN, of name constraints or of a distribution point.
type GeneralName []byte

func contextName(tag uint8, content []byte) GeneralName {
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(tag).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(content) })
	})
}

func constructedName(tag uint8, content []byte) GeneralName {
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(tag).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(content) })
	})
}

// RFC822Name is an e-mail address; any bytes.
func RFC822Name(v string) GeneralName { return contextName(1, []byte(v)) }

// DNSName is a host name; any bytes.
func DNSName(v string) GeneralName { return contextName(2, []byte(v)) }

// URIName is a uniformResourceIdentifier; any bytes.
func URIName(v string) GeneralName { return contextName(6, []byte(v)) }

// IPName is an iPAddress of any octets: 4, 16, an address with its mask, or nonsense.
func IPName(octets []byte) GeneralName { return contextName(7, octets) }

// IPAddress is an iPAddress of 4 or 16 octets.
func IPAddress(a netip.Addr) GeneralName { return IPName(a.AsSlice()) }

// IPRange is the iPAddress form of name constraints: address and mask.
func IPRange(p netip.Prefix) GeneralName {
	addr := p.Masked().Addr().AsSlice()
	return IPName(append(addr, net.CIDRMask(p.Bits(), len(addr)*8)...))
}

// DirectoryName is a distinguished name.
func DirectoryName(n Name) GeneralName { return constructedName(4, n.Encode()) }

// RegisteredID is an object identifier as a name.
func RegisteredID(id OID) GeneralName {
	full := der(func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(id) })
	return contextName(8, full[2:])
}

// OtherName is a name of a private type; value is DER.
func OtherName(typ OID, value []byte) GeneralName {
	return constructedName(0, der(func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(typ)
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(value) })
	}))
}

// UPN is Microsoft's userPrincipalName, an otherName.
func UPN(v string) GeneralName {
	return OtherName(OID{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}, StringExtension(nil, UTF8String, v).Value)
}

// SubjectAltName returns the extension with these names in this order.
func SubjectAltName(names ...GeneralName) Extension {
	return Extension{ID: OIDSubjectAltName, Value: der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addNames(b, names) })
	})}
}

func addNames(b *cryptobyte.Builder, names []GeneralName) {
	for _, n := range names {
		b.AddBytes(n)
	}
}

// NameConstraints returns the critical extension; bases are GeneralNames of any type.
func NameConstraints(permitted, excluded []GeneralName) Extension {
	return Extension{ID: OIDNameConstraints, Critical: true, Value: der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addSubtrees(b, 0, permitted)
			addSubtrees(b, 1, excluded)
		})
	})}
}

func addSubtrees(b *cryptobyte.Builder, tag uint8, bases []GeneralName) {
	if len(bases) == 0 {
		return
	}
	b.AddASN1(cbasn1.Tag(tag).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		for _, base := range bases {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(base) })
		}
	})
}

// DistributionPoints returns cRLDistributionPoints with one point per URI.
func DistributionPoints(uris ...string) Extension {
	return Extension{ID: OIDCRLDistributionPoint, Value: der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, u := range uris {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addPointName(b, []GeneralName{URIName(u)}) })
			}
		})
	})}
}

// addPointName writes DistributionPointName as field [0] of a distribution point, in its fullName form.
func addPointName(b *cryptobyte.Builder, names []GeneralName) {
	outer := cbasn1.Tag(0).ContextSpecific().Constructed()
	b.AddASN1(outer, func(b *cryptobyte.Builder) {
		b.AddASN1(outer, func(b *cryptobyte.Builder) { addNames(b, names) })
	})
}

// OCSPServer returns authorityInfoAccess with that OCSP responder.
func OCSPServer(uris ...string) Extension {
	return Extension{ID: OIDAuthorityInfoAccess, Value: der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, u := range uris {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(OID{1, 3, 6, 1, 5, 5, 7, 48, 1})
					b.AddBytes(URIName(u))
				})
			}
		})
	})}
}

// addExtensions writes the SEQUENCE OF Extension itself.
func addExtensions(b *cryptobyte.Builder, exts []Extension) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, e := range exts {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(e.ID)
				if e.Critical {
					b.AddASN1Boolean(true)
				}
				b.AddASN1OctetString(e.Value)
			})
		}
	})
}
