package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Shape says how a certificate shall look. Its zero value is a good client certificate without a
// subject: v3, P-256, valid from an hour ago for a day, CA:FALSE, digitalSignature, clientAuth, SKI, AKI.
type Shape struct {
	// Subject in short: CN, O, OU as UTF8String, in the order O, OU, CN.
	CN    string
	O, OU []string
	// Subject as it stands; when not nil, CN, O and OU are not used.
	Subject Name
	// RawSubject is DER, or not; when not nil it wins over all others.
	RawSubject []byte

	// Subject alternative names, written in this order.
	DNS, Email, URI []string
	IP              []netip.Addr
	SPIFFE          string        // one more URI
	SAN             []GeneralName // then these

	// Validity. Zero: from an hour ago, for Lifetime (zero: a day; a CA: ten years).
	NotBefore, NotAfter time.Time
	Lifetime            time.Duration

	// Key. Nil: a fresh one of Kind. SPKI, when not nil, is written instead of its public half.
	Key  crypto.Signer
	Kind KeyKind
	SPKI []byte

	// Kind of certificate.
	IsCA       bool
	PathLen    *int          // of a CA; nil: none
	ServerAuth bool          // a server's certificate: EKU serverAuth instead of clientAuth
	KeyUsage   []KeyUsageBit // nil: what fits; empty but not nil: present without a bit
	EKU        []OID         // nil: what fits (none on a CA); empty but not nil: an empty list

	// Extensions. Omit drops defaults by their OID, Ext appends (a second one of the same OID too),
	// Exactly, when not nil, is the whole list.
	Omit    []OID
	Ext     []Extension
	Exactly []Extension

	// Frame.
	Version   int      // 1, 2, 3 as people count; 0: 3. v1 and v2 get only Exactly and Ext
	Serial    *big.Int // nil: random, 127 bits; zero and negative are written as they are
	RawSerial []byte   // content octets of the INTEGER, instead of Serial
	Issuer    Name     // not nil: instead of the CA's subject
	SigAlg    SigAlg   // "": what fits the CA's key
	InnerAlg  SigAlg   // "": SigAlg; what TBSCertificate claims
	OuterAlg  SigAlg   // "": SigAlg; what the frame claims
	SignedBy  crypto.Signer
}

// issuer is what a certificate needs of the CA that signs it; nil fields mean a self-signed one.
type issuer struct {
	rawSubject []byte
	keyID      []byte
	key        crypto.Signer
}

// build makes and signs one certificate, and returns it with its key.
func build(s Shape, by *issuer) ([]byte, crypto.Signer, error) {
	key := s.Key
	if key == nil {
		var err error
		if key, err = GenerateKey(s.Kind); err != nil {
			return nil, nil, err
		}
	}
	spki := s.SPKI
	if spki == nil {
		var err error
		if spki, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
			return nil, nil, err
		}
	}
	subject := s.subject()
	if by == nil {
		by = &issuer{rawSubject: subject, keyID: keyID(spki), key: key}
	}
	if s.Issuer != nil {
		by = &issuer{rawSubject: s.Issuer.Encode(), keyID: by.keyID, key: by.key}
	}
	sg := signing{key: by.key, alg: s.SigAlg, inner: s.InnerAlg, outer: s.OuterAlg}
	if s.SignedBy != nil {
		sg.key = s.SignedBy
	}
	der, err := sg.assemble(func(inner []byte) ([]byte, error) {
		return s.tbs(inner, by, subject, spki)
	})
	return der, key, err
}

func (s *Shape) tbs(alg []byte, by *issuer, subject, spki []byte) ([]byte, error) {
	serial, err := s.serial()
	if err != nil {
		return nil, err
	}
	exts := s.extensions(by, spki)
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if v := or(s.Version, 3); v > 1 {
			b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1Int64(int64(v - 1))
			})
		}
		b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(serial) })
		b.AddBytes(alg)
		b.AddBytes(by.rawSubject)
		b.AddASN1(cbasn1.SEQUENCE, s.addValidity)
		b.AddBytes(subject)
		b.AddBytes(spki)
		if len(exts) > 0 {
			b.AddASN1(cbasn1.Tag(3).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				addExtensions(b, exts)
			})
		}
	})
	return b.Bytes()
}

func (s *Shape) subject() []byte {
	if s.RawSubject != nil {
		return s.RawSubject
	}
	if s.Subject != nil {
		return s.Subject.Encode()
	}
	var n Name
	for _, v := range s.O {
		n = append(n, O(v))
	}
	for _, v := range s.OU {
		n = append(n, OU(v))
	}
	if s.CN != "" {
		n = append(n, CN(s.CN))
	}
	return n.Encode()
}

// serial returns the content octets of the serial number.
func (s *Shape) serial() ([]byte, error) {
	if s.RawSerial != nil {
		return s.RawSerial, nil
	}
	n := s.Serial
	if n == nil {
		var err error
		if n, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
			return nil, fmt.Errorf("random serial: %w", err)
		}
		n.SetBit(n, 126, 1) // never zero, always 16 octets
	}
	var b cryptobyte.Builder
	b.AddASN1BigInt(n)
	full, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	var content cryptobyte.String
	in := cryptobyte.String(full)
	if !in.ReadASN1(&content, cbasn1.INTEGER) {
		return nil, fmt.Errorf("serial %v: cannot be encoded", n)
	}
	return content, nil
}

func (s *Shape) validity() (from, to time.Time) {
	from, to = s.NotBefore, s.NotAfter
	if from.IsZero() {
		from = time.Now().Add(-time.Hour)
	}
	if to.IsZero() {
		life := s.Lifetime
		if life == 0 {
			life = 25 * time.Hour // a day from now
			if s.IsCA {
				life = 10 * 365 * 24 * time.Hour
			}
		}
		to = from.Add(life)
	}
	return from, to
}

func (s *Shape) addValidity(b *cryptobyte.Builder) {
	from, to := s.validity()
	addTime(b, from)
	addTime(b, to)
}

// addTime writes UTCTime up to 2049 and GeneralizedTime before 1950 and from 2050 (RFC 5280, 4.1.2.5).
func addTime(b *cryptobyte.Builder, t time.Time) {
	t = t.UTC()
	if y := t.Year(); y >= 1950 && y < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

func (s *Shape) names() []GeneralName {
	var names []GeneralName
	for _, v := range s.DNS {
		names = append(names, DNSName(v))
	}
	for _, v := range s.Email {
		names = append(names, RFC822Name(v))
	}
	for _, v := range s.IP {
		names = append(names, IPAddress(v))
	}
	for _, v := range s.URI {
		names = append(names, URIName(v))
	}
	if s.SPIFFE != "" {
		names = append(names, URIName(s.SPIFFE))
	}
	return append(names, s.SAN...)
}

func (s *Shape) extensions(by *issuer, spki []byte) []Extension {
	if s.Exactly != nil {
		return s.Exactly
	}
	if v := or(s.Version, 3); v != 3 {
		return s.Ext
	}
	pathLen := -1
	if s.PathLen != nil {
		pathLen = *s.PathLen
	}
	exts := []Extension{BasicConstraints(s.IsCA, pathLen), KeyUsage(s.keyUsage()...)}
	if eku := s.eku(); eku != nil {
		exts = append(exts, EKU(eku...))
	}
	exts = append(exts, SubjectKeyID(keyID(spki)))
	if by.keyID != nil {
		exts = append(exts, AuthorityKeyID(by.keyID))
	}
	if names := s.names(); len(names) > 0 {
		exts = append(exts, SubjectAltName(names...))
	}
	exts = slices.DeleteFunc(exts, func(e Extension) bool {
		return slices.ContainsFunc(s.Omit, e.ID.Equal)
	})
	return append(exts, s.Ext...)
}

func (s *Shape) keyUsage() []KeyUsageBit {
	switch {
	case s.KeyUsage != nil:
		return s.KeyUsage
	case s.IsCA:
		return []KeyUsageBit{KeyCertSign, CRLSign}
	}
	return []KeyUsageBit{DigitalSignature}
}

func (s *Shape) eku() []OID {
	switch {
	case s.EKU != nil:
		return s.EKU
	case s.IsCA:
		return nil
	case s.ServerAuth:
		return []OID{EKUServerAuth}
	}
	return []OID{EKUClientAuth}
}

// keyID is the SHA-1 of the public key's bits, RFC 5280's first method.
func keyID(spki []byte) []byte {
	sum := sha1.Sum(keyBits(spki))
	return sum[:]
}

// keyBits returns the BIT STRING of a SubjectPublicKeyInfo without its count of unused bits; all of
// spki if it does not parse.
func keyBits(spki []byte) []byte {
	var seq, bits cryptobyte.String
	in := cryptobyte.String(spki)
	ok := in.ReadASN1(&seq, cbasn1.SEQUENCE) && seq.SkipASN1(cbasn1.SEQUENCE) &&
		seq.ReadASN1(&bits, cbasn1.BIT_STRING) && bits.Skip(1)
	if !ok {
		return spki
	}
	return bits
}
