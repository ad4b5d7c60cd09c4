package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // registers the hashes of sigAlgs
	_ "crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// keyType is the kind of public key that a signature algorithm needs.
type keyType int

const (
	rsaPKCS1 keyType = iota + 1
	rsaPSS
	ecdsaKey
	ed25519Key
)

// sigAlg is a signature algorithm of CRLs and OCSP responses. MD5 and SHA-1 are none (T54).
type sigAlg struct {
	oid  asn1.ObjectIdentifier
	key  keyType
	hash crypto.Hash // 0 for Ed25519, which signs the message itself
}

var sigAlgs = []sigAlg{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, rsaPKCS1, crypto.SHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, rsaPKCS1, crypto.SHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, rsaPKCS1, crypto.SHA512},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, ecdsaKey, crypto.SHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, ecdsaKey, crypto.SHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, ecdsaKey, crypto.SHA512},
	{asn1.ObjectIdentifier{1, 3, 101, 112}, ed25519Key, 0},
}

var (
	oidPSS  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

// pssHashes are the hashes that RSASSA-PSS may name, with a salt of their own length (RFC 4055).
var pssHashes = []struct {
	oid  asn1.ObjectIdentifier
	hash crypto.Hash
}{
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512},
}

var errSignature = errors.New("signature does not verify")

// parseSigAlg reads the content of an AlgorithmIdentifier.
func parseSigAlg(ai cryptobyte.String) (sigAlg, error) {
	var oid asn1.ObjectIdentifier
	if !ai.ReadASN1ObjectIdentifier(&oid) {
		return sigAlg{}, errDER
	}
	if oid.Equal(oidPSS) {
		for _, h := range pssHashes {
			if bytes.Equal(ai, pssParameters(h.oid, h.hash)) {
				return sigAlg{oid, rsaPSS, h.hash}, nil
			}
		}
		return sigAlg{}, errors.New("RSA-PSS with unusual parameters")
	}
	for _, a := range sigAlgs {
		if a.oid.Equal(oid) {
			return a, nil
		}
	}
	return sigAlg{}, fmt.Errorf("signature algorithm %s is weak or unknown", oid)
}

// pssParameters is the DER of RSASSA-PSS-params for one hash, as everybody writes it.
func pssParameters(hashOID asn1.ObjectIdentifier, hash crypto.Hash) []byte {
	algorithm := func(b *cryptobyte.Builder) {
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(hashOID)
			b.AddASN1NULL()
		})
	}
	field := func(b *cryptobyte.Builder, n uint8, f cryptobyte.BuilderContinuation) {
		b.AddASN1(der.Tag(n).ContextSpecific().Constructed(), f)
	}
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		field(b, 0, algorithm)
		field(b, 1, func(b *cryptobyte.Builder) {
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidMGF1)
				algorithm(b)
			})
		})
		field(b, 2, func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(hash.Size())) })
	})
	return b.BytesOrPanic()
}

// digest is what verify takes for a message: its hash, or the message itself for Ed25519.
func (a sigAlg) digest(message []byte) []byte {
	if a.hash == 0 {
		return message
	}
	h := a.hash.New()
	h.Write(message)
	return h.Sum(nil)
}

// verify checks a signature over the message that digest was made of.
func (a sigAlg) verify(pub crypto.PublicKey, digest, signature []byte) error {
	ok := false
	switch k := pub.(type) {
	case *rsa.PublicKey:
		switch a.key {
		case rsaPKCS1:
			ok = rsa.VerifyPKCS1v15(k, a.hash, digest, signature) == nil
		case rsaPSS:
			opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			ok = rsa.VerifyPSS(k, a.hash, digest, signature, opts) == nil
		}
	case *ecdsa.PublicKey:
		ok = a.key == ecdsaKey && ecdsa.VerifyASN1(k, digest, signature)
	case ed25519.PublicKey:
		ok = a.key == ed25519Key && ed25519.Verify(k, digest, signature)
	}
	if !ok {
		return errSignature
	}
	return nil
}
