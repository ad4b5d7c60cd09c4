package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// KeyKind names a kind of key pair: "P-256", "RSA-2048", "Ed25519". RSA takes any size from 1024 bits.
type KeyKind string

// Kinds of key. P224, RSA1024, RSA2047 and RSA2052 are too weak or odd for a login (T42).
const (
	P224    KeyKind = "P-224"
	P256    KeyKind = "P-256" // the default
	P384    KeyKind = "P-384"
	P521    KeyKind = "P-521"
	Ed25519 KeyKind = "Ed25519"
	RSA1024 KeyKind = "RSA-1024"
	RSA2047 KeyKind = "RSA-2047"
	RSA2048 KeyKind = "RSA-2048"
	RSA2052 KeyKind = "RSA-2052"
)

// GenerateKey makes a fresh key pair of that kind; "" is P256.
func GenerateKey(kind KeyKind) (crypto.Signer, error) {
	switch kind {
	case P224:
		return ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	case P256, "":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	var bits int
	if _, err := fmt.Sscanf(string(kind), "RSA-%d", &bits); err != nil {
		return nil, fmt.Errorf("kind of key %q: unknown", kind)
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

// EncodeKey returns the key as PKCS-8 PEM.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// RawSPKI returns a SubjectPublicKeyInfo around any algorithm, parameters (DER, may be empty) and key bits.
// The curves Go does not know, Ed448, RSA-PSS and ML-DSA keys are made with it.
func RawSPKI(algorithm asn1.ObjectIdentifier, parameters, bits []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(algorithm)
			b.AddBytes(parameters)
		})
		b.AddASN1BitString(bits)
	})
	return b.BytesOrPanic()
}

// CurveSPKI returns a SubjectPublicKeyInfo for a curve by its OID with a made-up point: secp256k1,
// brainpool, P-192 and others that only the parser ever sees.
func CurveSPKI(curve asn1.ObjectIdentifier, fieldBytes int) []byte {
	var p cryptobyte.Builder
	p.AddASN1ObjectIdentifier(curve)
	point := make([]byte, 1+2*fieldBytes)
	point[0] = 4 // uncompressed
	for i := range point[1:] {
		point[1+i] = byte(i)
	}
	return RawSPKI(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, p.BytesOrPanic(), point)
}

// RSASPKI returns an RSA SubjectPublicKeyInfo with a modulus of exactly that many bits, whose
// factors nobody knows, and the given exponent: RSA-8193, e = 1, e = 2^64.
func RSASPKI(bits int, exponent *big.Int) []byte {
	modulus := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	modulus.Add(modulus, big.NewInt(0x10001))
	var k cryptobyte.Builder
	k.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(modulus)
		b.AddASN1BigInt(exponent)
	})
	return RawSPKI(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, []byte{5, 0}, k.BytesOrPanic())
}

// DSASPKI returns a DSA SubjectPublicKeyInfo with made-up parameters: it parses, and verifies nothing.
func DSASPKI() []byte {
	p := new(big.Int).Lsh(big.NewInt(1), 2047)
	q := new(big.Int).Lsh(big.NewInt(1), 255)
	var params, y cryptobyte.Builder
	params.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, n := range []*big.Int{p, q, big.NewInt(4)} {
			b.AddASN1BigInt(n)
		}
	})
	y.AddASN1BigInt(big.NewInt(16))
	return RawSPKI(asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}, params.BytesOrPanic(), y.BytesOrPanic())
}

// X25519SPKI returns an X25519 SubjectPublicKeyInfo: a key that cannot sign a CertificateVerify.
func X25519SPKI() []byte {
	return RawSPKI(asn1.ObjectIdentifier{1, 3, 101, 110}, nil, make([]byte, 32))
}
