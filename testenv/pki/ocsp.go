package pki

import (
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// OCSPStatus is what a response says of a certificate.
type OCSPStatus int

// Certificate statuses of RFC 6960.
const (
	OCSPGood OCSPStatus = iota
	OCSPRevoked
	OCSPUnknown
)

// OIDOCSPNonce is the nonce extension's.
var OIDOCSPNonce = OID{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}

// OCSPShape says how an OCSP response shall look. With only Serial set it says "good", is signed by the
// CA itself, was issued an hour ago and holds for a day.
type OCSPShape struct {
	Serial    *big.Int
	Status    OCSPStatus
	RevokedAt time.Time // zero: an hour ago
	Reason    int       // 0: none

	ProducedAt, ThisUpdate, NextUpdate time.Time
	NoNextUpdate                       bool

	// CertID. Subject and key whose hashes it carries; nil: the CA's. SHA-1 hashes unless SHA256.
	CertIDOf *CA
	SHA256   bool

	// Responder signs; nil: the CA. Its certificate is embedded, then Embed.
	Responder *Leaf
	Embed     []*Leaf
	ByKey     bool // responderID is the key hash instead of the name
	// ResponderID, when not nil, is named instead of the signer.
	ResponderID *x509.Certificate

	Nonce     []byte // nil: none; else the octets inside the nonce's OCTET STRING
	Ext       []Extension
	SingleExt []Extension
	Others    []OCSPShape // further single responses; only their CertID, status and dates count

	SignedBy crypto.Signer // nil: the responder's key
	SigAlg   SigAlg
}

// OCSP makes and signs a response and returns its DER.
func (ca *CA) OCSP(s OCSPShape) ([]byte, error) {
	if s.Serial == nil {
		return nil, fmt.Errorf("OCSP response without a serial")
	}
	signer := &ca.Leaf
	if s.Responder != nil {
		signer = s.Responder
	}
	sg := signing{key: signer.Key, alg: s.SigAlg}
	if s.SignedBy != nil {
		sg.key = s.SignedBy
	}
	basic, err := sg.assemble(func([]byte) ([]byte, error) { return s.tbs(ca, signer) })
	if err != nil {
		return nil, err
	}
	return frameOCSP(0, s.embed(basic)), nil
}

// OCSPError is a response that carries no answer: malformedRequest 1, internalError 2, tryLater 3,
// sigRequired 5, unauthorized 6.
func OCSPError(status int) []byte { return frameOCSP(status, nil) }

func frameOCSP(status int, basic []byte) []byte {
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Enum(int64(status))
			if basic == nil {
				return
			}
			b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(OID{1, 3, 6, 1, 5, 5, 7, 48, 1, 1})
					b.AddASN1OctetString(basic)
				})
			})
		})
	})
}

// embed adds the certificates to a signed BasicOCSPResponse, after its signature.
func (s *OCSPShape) embed(basic []byte) []byte {
	certs := s.Embed
	if s.Responder != nil {
		certs = append([]*Leaf{s.Responder}, certs...)
	}
	if len(certs) == 0 {
		return basic
	}
	in, content := cryptobyte.String(basic), cryptobyte.String(nil)
	in.ReadASN1(&content, cbasn1.SEQUENCE)
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(content)
			b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					for _, c := range certs {
						b.AddBytes(c.DER)
					}
				})
			})
		})
	})
}

// tbs is ResponseData of RFC 6960.
func (s *OCSPShape) tbs(ca *CA, signer *Leaf) ([]byte, error) {
	named := signer.X509
	if s.ResponderID != nil {
		named = s.ResponderID
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if s.ByKey {
			b.AddASN1(cbasn1.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1OctetString(keyID(named.RawSubjectPublicKeyInfo))
			})
		} else {
			b.AddASN1(cbasn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddBytes(named.RawSubject)
			})
		}
		b.AddASN1GeneralizedTime(orTime(s.ProducedAt, time.Now().Add(-time.Hour)).UTC())
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			s.addSingle(b, ca)
			for _, o := range s.Others {
				o.addSingle(b, ca)
			}
		})
		if exts := s.extensions(); len(exts) > 0 {
			b.AddASN1(cbasn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { addExtensions(b, exts) })
		}
	})
	return b.Bytes()
}

func (s *OCSPShape) extensions() []Extension {
	if s.Nonce == nil {
		return s.Ext
	}
	nonce := Extension{ID: OIDOCSPNonce, Value: der(func(b *cryptobyte.Builder) { b.AddASN1OctetString(s.Nonce) })}
	return append([]Extension{nonce}, s.Ext...)
}

// addSingle writes one SingleResponse.
func (s *OCSPShape) addSingle(b *cryptobyte.Builder, ca *CA) {
	if s.CertIDOf != nil {
		ca = s.CertIDOf
	}
	this := orTime(s.ThisUpdate, time.Now().Add(-time.Hour))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { s.addCertID(b, ca) })
		s.addStatus(b)
		b.AddASN1GeneralizedTime(this.UTC())
		if !s.NoNextUpdate {
			b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1GeneralizedTime(orTime(s.NextUpdate, this.Add(25*time.Hour)).UTC())
			})
		}
		if len(s.SingleExt) > 0 {
			b.AddASN1(cbasn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				addExtensions(b, s.SingleExt)
			})
		}
	})
}

func (s *OCSPShape) addCertID(b *cryptobyte.Builder, ca *CA) {
	hash, id := func(p []byte) []byte { h := sha1.Sum(p); return h[:] }, OID{1, 3, 14, 3, 2, 26}
	if s.SHA256 {
		hash, id = func(p []byte) []byte { h := sha256.Sum256(p); return h[:] }, OID{2, 16, 840, 1, 101, 3, 4, 2, 1}
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		b.AddBytes(derNull)
	})
	b.AddASN1OctetString(hash(ca.X509.RawSubject))
	b.AddASN1OctetString(hash(keyBits(ca.X509.RawSubjectPublicKeyInfo)))
	b.AddASN1BigInt(s.Serial)
}

func (s *OCSPShape) addStatus(b *cryptobyte.Builder) {
	tag := cbasn1.Tag(s.Status).ContextSpecific()
	if s.Status != OCSPRevoked {
		b.AddASN1(tag, func(*cryptobyte.Builder) {})
		return
	}
	b.AddASN1(tag.Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1GeneralizedTime(orTime(s.RevokedAt, time.Now().Add(-time.Hour)).UTC())
		if s.Reason != 0 {
			b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1Enum(int64(s.Reason))
			})
		}
	})
}

func orTime(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}
