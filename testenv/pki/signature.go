package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	_ "crypto/md5" // registers the hash for MD5WithRSA
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // registers the hash for SHA1WithRSA and ECDSAWithSHA1
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SigAlg is a signature algorithm that certificates, CRLs and OCSP responses can be signed with.
type SigAlg string

// Signature algorithms. MD5 and SHA-1 must be refused by whoever verifies (T42).
const (
	MD5WithRSA       SigAlg = "md5WithRSA"
	SHA1WithRSA      SigAlg = "sha1WithRSA"
	SHA256WithRSA    SigAlg = "sha256WithRSA"
	SHA256WithRSAPSS SigAlg = "sha256WithRSAPSS"
	ECDSAWithSHA1    SigAlg = "ecdsa-with-SHA1"
	ECDSAWithSHA256  SigAlg = "ecdsa-with-SHA256"
	ECDSAWithSHA384  SigAlg = "ecdsa-with-SHA384"
	ECDSAWithSHA512  SigAlg = "ecdsa-with-SHA512"
	PureEd25519      SigAlg = "Ed25519"
)

type sigAlgInfo struct {
	oid    asn1.ObjectIdentifier
	params []byte // DER, empty when absent
	hash   crypto.Hash
}

var derNull = []byte{5, 0}

// pssSHA256 is RSASSA-PSS-params for SHA-256, MGF1 with SHA-256 and a salt of 32 octets (RFC 4055).
var pssSHA256 = []byte{
	0x30, 0x34,
	0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
	0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08,
	0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
	0xa2, 0x03, 0x02, 0x01, 0x20,
}

var sigAlgs = map[SigAlg]sigAlgInfo{
	MD5WithRSA:       {asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 4}, derNull, crypto.MD5},
	SHA1WithRSA:      {asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, derNull, crypto.SHA1},
	SHA256WithRSA:    {asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, derNull, crypto.SHA256},
	SHA256WithRSAPSS: {asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}, pssSHA256, crypto.SHA256},
	ECDSAWithSHA1:    {asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}, nil, crypto.SHA1},
	ECDSAWithSHA256:  {asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, nil, crypto.SHA256},
	ECDSAWithSHA384:  {asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, nil, crypto.SHA384},
	ECDSAWithSHA512:  {asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, nil, crypto.SHA512},
	PureEd25519:      {asn1.ObjectIdentifier{1, 3, 101, 112}, nil, 0},
}

// defaultSigAlg is what an ordinary CA signs with under that key.
func defaultSigAlg(key crypto.Signer) (SigAlg, error) {
	switch k := key.Public().(type) {
	case *ecdsa.PublicKey:
		switch bits := k.Curve.Params().BitSize; {
		case bits > 384:
			return ECDSAWithSHA512, nil
		case bits > 256:
			return ECDSAWithSHA384, nil
		}
		return ECDSAWithSHA256, nil
	case *rsa.PublicKey:
		return SHA256WithRSA, nil
	case ed25519.PublicKey:
		return PureEd25519, nil
	default:
		return "", fmt.Errorf("sign with %T: unknown kind of key", k)
	}
}

// identifier returns the AlgorithmIdentifier in DER.
func (a SigAlg) identifier() ([]byte, error) {
	info, ok := sigAlgs[a]
	if !ok {
		return nil, fmt.Errorf("signature algorithm %q: unknown", a)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(info.oid)
		b.AddBytes(info.params)
	})
	return b.Bytes()
}

// sign signs tbs with the algorithm; the key must fit it.
func (a SigAlg) sign(key crypto.Signer, tbs []byte) ([]byte, error) {
	info, ok := sigAlgs[a]
	if !ok {
		return nil, fmt.Errorf("signature algorithm %q: unknown", a)
	}
	digest := tbs
	if info.hash != 0 {
		h := info.hash.New()
		h.Write(tbs)
		digest = h.Sum(nil)
	}
	var opts crypto.SignerOpts = info.hash
	if a == SHA256WithRSAPSS {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: info.hash}
	}
	return key.Sign(rand.Reader, digest, opts)
}

// signing says who signs a structure, how, and what its two AlgorithmIdentifier claim.
type signing struct {
	key          crypto.Signer
	alg          SigAlg // "": what fits the key
	inner, outer SigAlg // "": alg
}

// assemble signs what tbs returns for the inner AlgorithmIdentifier and wraps the three parts:
// the SEQUENCE that certificates, CRLs and BasicOCSPResponse share.
func (s signing) assemble(tbs func(inner []byte) ([]byte, error)) ([]byte, error) {
	alg := s.alg
	if alg == "" {
		var err error
		if alg, err = defaultSigAlg(s.key); err != nil {
			return nil, err
		}
	}
	inner, err := or(s.inner, alg).identifier()
	if err != nil {
		return nil, err
	}
	outer, err := or(s.outer, alg).identifier()
	if err != nil {
		return nil, err
	}
	body, err := tbs(inner)
	if err != nil {
		return nil, err
	}
	sig, err := alg.sign(s.key, body)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", alg, err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(body)
		b.AddBytes(outer)
		b.AddASN1BitString(sig)
	})
	return b.Bytes()
}

// or returns the first value that is not zero.
func or[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}
