package trust

import (
	"bytes"
	"crypto"
	"crypto/fips140"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Limits of an OCSP response.
const (
	maxOCSP      = 64 << 10 // bytes (T60)
	maxOCSPCerts = 8        // embedded
)

var (
	oidOCSPBasic = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidOCSPNonce = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
	oidSHA1      = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
)

// ocspResponse is a parsed BasicOCSPResponse (RFC 6960, 4.2.1); nothing in it is verified.
type ocspResponse struct {
	rawTBS       []byte
	alg          sigAlg
	signature    []byte
	certs        []*x509.Certificate
	responder    []byte // raw Name, or nil
	responderKey []byte // SHA-1 of its public key bits, or nil
	singles      []ocspSingle
	nonce        []byte // nil when absent
}

// ocspSingle is one SingleResponse.
type ocspSingle struct {
	hash              crypto.Hash // 0: one we do not know
	nameHash, keyHash []byte
	serial            []byte // content octets
	word              ocspWord
	revokedAt         time.Time
	thisUpdate        time.Time
	nextUpdate        time.Time // zero when absent
}

// ocspWord is a responder's word on a certificate. The zero value is none.
type ocspWord int

const (
	saysNothing ocspWord = iota
	saysGood
	saysRevoked
	saysUnknown
)

var errOCSP = errors.New("malformed OCSP response")

// parseOCSP reads a successful OCSPResponse.
func parseOCSP(in []byte) (*ocspResponse, error) {
	if len(in) > maxOCSP {
		return nil, fmt.Errorf("OCSP response of more than %d bytes", maxOCSP)
	}
	s := cryptobyte.String(in)
	var outer, body, basic cryptobyte.String
	var oid asn1.ObjectIdentifier
	var code int
	var present bool
	if !s.ReadASN1(&outer, der.SEQUENCE) || !s.Empty() || !outer.ReadASN1Enum(&code) {
		return nil, errOCSP
	}
	if code != 0 {
		return nil, fmt.Errorf("OCSP responder answered with error %d", code)
	}
	if !outer.ReadOptionalASN1(&body, &present, der.Tag(0).ContextSpecific().Constructed()) || !present || !outer.Empty() ||
		!body.ReadASN1(&body, der.SEQUENCE) || !body.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidOCSPBasic) ||
		!body.ReadASN1(&basic, der.OCTET_STRING) || !body.Empty() {
		return nil, errOCSP
	}
	return parseBasicOCSP(basic)
}

func parseBasicOCSP(basic cryptobyte.String) (*ocspResponse, error) {
	var seq, rawTBS, alg, certs cryptobyte.String
	var signature asn1.BitString
	var hasCerts bool
	if !basic.ReadASN1(&seq, der.SEQUENCE) || !basic.Empty() || !seq.ReadASN1Element(&rawTBS, der.SEQUENCE) ||
		!seq.ReadASN1(&alg, der.SEQUENCE) || !seq.ReadASN1BitString(&signature) || signature.BitLength%8 != 0 ||
		!seq.ReadOptionalASN1(&certs, &hasCerts, der.Tag(0).ContextSpecific().Constructed()) || !seq.Empty() {
		return nil, errOCSP
	}
	r := &ocspResponse{rawTBS: rawTBS, signature: signature.Bytes}
	var err error
	if r.alg, err = parseSigAlg(alg); err != nil {
		return nil, err
	}
	if hasCerts {
		if err := r.parseCerts(certs); err != nil {
			return nil, err
		}
	}
	return r, r.parseData(rawTBS)
}

func (r *ocspResponse) parseCerts(s cryptobyte.String) error {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, der.SEQUENCE) || !s.Empty() {
		return errOCSP
	}
	for !seq.Empty() {
		var raw cryptobyte.String
		if !seq.ReadASN1Element(&raw, der.SEQUENCE) || len(r.certs) == maxOCSPCerts {
			return errOCSP
		}
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return fmt.Errorf("certificate in OCSP response: %w", err)
		}
		r.certs = append(r.certs, c)
	}
	return nil
}

// parseData reads ResponseData.
func (r *ocspResponse) parseData(raw cryptobyte.String) error {
	var tbs, singles, exts, version cryptobyte.String
	var hasExts, hasVersion bool
	var producedAt time.Time
	if !raw.ReadASN1(&tbs, der.SEQUENCE) ||
		!tbs.ReadOptionalASN1(&version, &hasVersion, der.Tag(0).ContextSpecific().Constructed()) ||
		!r.parseResponder(&tbs) || !tbs.ReadASN1GeneralizedTime(&producedAt) || !tbs.ReadASN1(&singles, der.SEQUENCE) ||
		!tbs.ReadOptionalASN1(&exts, &hasExts, der.Tag(1).ContextSpecific().Constructed()) || !tbs.Empty() {
		return errOCSP
	}
	var v int
	if hasVersion && (!version.ReadASN1Integer(&v) || v != 0 || !version.Empty()) {
		return errors.New("OCSP response of unknown version")
	}
	for !singles.Empty() {
		var s cryptobyte.String
		if !singles.ReadASN1(&s, der.SEQUENCE) {
			return errOCSP
		}
		if err := r.parseSingle(s); err != nil {
			return err
		}
	}
	if hasExts {
		return eachExtension(exts, r.extension)
	}
	return nil
}

func (r *ocspResponse) parseResponder(tbs *cryptobyte.String) bool {
	byName, byKey := der.Tag(1).ContextSpecific().Constructed(), der.Tag(2).ContextSpecific().Constructed()
	var id, name, key cryptobyte.String
	switch {
	case tbs.PeekASN1Tag(byName):
		ok := tbs.ReadASN1(&id, byName) && id.ReadASN1Element(&name, der.SEQUENCE) && id.Empty()
		r.responder = name
		return ok
	case tbs.PeekASN1Tag(byKey):
		ok := tbs.ReadASN1(&id, byKey) && id.ReadASN1(&key, der.OCTET_STRING) && id.Empty()
		r.responderKey = key
		return ok && len(key) == sha1.Size
	}
	return false
}

func (r *ocspResponse) parseSingle(s cryptobyte.String) error {
	var one ocspSingle
	var id, hash, name, key, serial, next, exts cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1(&id, der.SEQUENCE) || !id.ReadASN1(&hash, der.SEQUENCE) || !hash.ReadASN1ObjectIdentifier(&oid) ||
		!id.ReadASN1(&name, der.OCTET_STRING) || !id.ReadASN1(&key, der.OCTET_STRING) ||
		!id.ReadASN1(&serial, der.INTEGER) || !id.Empty() {
		return errOCSP
	}
	one.hash, one.nameHash, one.keyHash, one.serial = certIDHash(oid), name, key, serial
	if !one.parseStatus(&s) || !s.ReadASN1GeneralizedTime(&one.thisUpdate) {
		return errOCSP
	}
	var hasNext, hasExts bool
	if !s.ReadOptionalASN1(&next, &hasNext, der.Tag(0).ContextSpecific().Constructed()) ||
		hasNext && (!next.ReadASN1GeneralizedTime(&one.nextUpdate) || !next.Empty()) ||
		!s.ReadOptionalASN1(&exts, &hasExts, der.Tag(1).ContextSpecific().Constructed()) || !s.Empty() {
		return errOCSP
	}
	r.singles = append(r.singles, one)
	if !hasExts {
		return nil
	}
	return eachExtension(exts, func(id asn1.ObjectIdentifier, critical bool, _ []byte) error {
		if critical {
			return fmt.Errorf("OCSP response with the unknown critical extension %s", id)
		}
		return nil
	})
}

// parseStatus reads CertStatus.
func (one *ocspSingle) parseStatus(s *cryptobyte.String) bool {
	var v cryptobyte.String
	var tag der.Tag
	if !s.ReadAnyASN1(&v, &tag) {
		return false
	}
	switch tag {
	case der.Tag(0).ContextSpecific():
		one.word = saysGood
		return v.Empty()
	case der.Tag(1).ContextSpecific().Constructed():
		one.word = saysRevoked
		return v.ReadASN1GeneralizedTime(&one.revokedAt) // then an optional reason
	case der.Tag(2).ContextSpecific():
		one.word = saysUnknown
		return v.Empty()
	}
	return false
}

// extension reads a response extension: only the nonce is known.
func (r *ocspResponse) extension(id asn1.ObjectIdentifier, critical bool, value []byte) error {
	if id.Equal(oidOCSPNonce) {
		r.nonce = nonceOctets(value)
		return nil
	}
	if critical {
		return fmt.Errorf("OCSP response with the unknown critical extension %s", id)
	}
	return nil
}

// nonceOctets takes the nonce out of its OCTET STRING (RFC 9654); older responders have none around it.
func nonceOctets(value []byte) []byte {
	s, inner := cryptobyte.String(value), cryptobyte.String(nil)
	if s.ReadASN1(&inner, der.OCTET_STRING) && s.Empty() {
		return append([]byte{}, inner...)
	}
	return append([]byte{}, value...)
}

// certIDHash is the hash that a CertID names, or 0.
func certIDHash(oid asn1.ObjectIdentifier) crypto.Hash {
	if oid.Equal(oidSHA1) {
		return crypto.SHA1
	}
	for _, h := range pssHashes {
		if h.oid.Equal(oid) {
			return h.hash
		}
	}
	return 0
}

// matches compares all of the CertID: name hash, key hash and serial number (T59).
func (one *ocspSingle) matches(sub *subject) bool {
	if one.hash == 0 {
		return false
	}
	serial, ok := serialFrom(one.serial)
	return ok && serial == sub.serial &&
		bytes.Equal(one.nameHash, hashOf(one.hash, sub.issuer.RawSubject)) &&
		bytes.Equal(one.keyHash, hashOf(one.hash, keyBits(sub.issuer)))
}

// hashOf hashes for identification only, so that SHA-1 is fine, in FIPS 140-3 mode too.
func hashOf(h crypto.Hash, p []byte) (sum []byte) {
	fips140.WithoutEnforcement(func() {
		d := h.New()
		d.Write(p)
		sum = d.Sum(nil)
	})
	return sum
}

// keyBits is the content of the subjectPublicKey BIT STRING, which OCSP hashes.
func keyBits(c *x509.Certificate) []byte {
	s, seq := cryptobyte.String(c.RawSubjectPublicKeyInfo), cryptobyte.String(nil)
	var bits asn1.BitString
	if !s.ReadASN1(&seq, der.SEQUENCE) || !seq.SkipASN1(der.SEQUENCE) || !seq.ReadASN1BitString(&bits) {
		return nil
	}
	return slices.Clip(bits.RightAlign())
}
