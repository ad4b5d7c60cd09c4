package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
)

// maxWork bounds the signature checks of one verification, in microseconds of CPU as estimated by
// signatureCost. x509.Verify stops at 100 checks whatever they cost (100 of P-521 are 200 ms); with
// as much again for choosing the reason of a refusal, a verification stays under 50 ms (T47).
const maxWork = 20_000

// signatureCost estimates one signature check with c's key, in microseconds on a 2.5 GHz core.
func signatureCost(c *x509.Certificate) int {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		words := k.N.BitLen()/64 + 1
		squarings := 0
		for e := k.E; e > 0; e >>= 1 {
			squarings++
		}
		return 5 + words*words*squarings/600
	case *ecdsa.PublicKey:
		switch bits := k.Curve.Params().BitSize; {
		case bits > 384:
			return 2000
		case bits > 256:
			return 600
		case bits < 256:
			return 200
		}
		return 75
	case ed25519.PublicKey:
		return 60
	}
	return 5 // cannot be checked at all
}

// work adds up the signature checks that x509.Verify makes in the worst case: all signatures are
// genuine, so that it follows every name. It stops counting at maxWork.
func work(leaf *x509.Certificate, intermediates []*x509.Certificate, set *anchorSet) int {
	spent := 0
	var climb func(chain []*x509.Certificate)
	climb = func(chain []*x509.Certificate) {
		top := chain[len(chain)-1]
		for _, root := range set.bySubject[string(top.RawIssuer)] {
			spent += signatureCost(root)
		}
		for _, c := range intermediates {
			if spent > maxWork {
				return
			}
			if !bytes.Equal(c.RawSubject, top.RawIssuer) || inChain(c, chain) {
				continue
			}
			spent += signatureCost(c)
			climb(append(chain[:len(chain):len(chain)], c))
		}
	}
	climb([]*x509.Certificate{leaf})
	return spent
}

// inChain says that the chain has a certificate of that name and key: x509's rule against loops.
func inChain(c *x509.Certificate, chain []*x509.Certificate) bool {
	for _, other := range chain {
		if bytes.Equal(c.RawSubject, other.RawSubject) &&
			bytes.Equal(c.RawSubjectPublicKeyInfo, other.RawSubjectPublicKeyInfo) {
			return true
		}
	}
	return false
}

// reachable returns those of the candidates that a climb from leaf by issuer names can meet, so that
// unrelated certificates cost nothing.
func reachable(leaf *x509.Certificate, candidates []*x509.Certificate) []*x509.Certificate {
	wanted := map[string]bool{string(leaf.RawIssuer): true}
	taken := make([]bool, len(candidates))
	var out []*x509.Certificate
	for again := true; again; {
		again = false
		for i, c := range candidates {
			if !taken[i] && wanted[string(c.RawSubject)] {
				taken[i], again = true, true
				wanted[string(c.RawIssuer)] = true
				out = append(out, c)
			}
		}
	}
	return out
}
