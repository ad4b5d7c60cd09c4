package trust

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ocspAnswer is a verified word on one certificate.
type ocspAnswer struct {
	word       ocspWord
	thisUpdate time.Time
	until      time.Time // nextUpdate, or an hour after thisUpdate
	revokedAt  time.Time
	raw        []byte // the response it came in
}

// verifyOCSP holds a response to T59 and returns what it says of sub. nonce is what the request
// carried, nil without a request. revoked tells whether a delegate's own certificate is revoked.
func verifyOCSP(raw []byte, sub *subject, now time.Time, nonce []byte, revoked func(delegate *subject) bool) (*ocspAnswer, error) {
	r, err := parseOCSP(raw)
	if err != nil {
		return nil, err
	}
	if err := r.verifySigner(sub.issuer, now, revoked); err != nil {
		return nil, err
	}
	if nonce != nil && r.nonce != nil && !bytes.Equal(nonce, r.nonce) {
		return nil, errors.New("OCSP response with another nonce")
	}
	return r.answer(raw, sub, now)
}

// answer picks the current word on sub: revoked before all others, else the newest.
func (r *ocspResponse) answer(raw []byte, sub *subject, now time.Time) (*ocspAnswer, error) {
	var best *ocspAnswer
	for i := range r.singles {
		one := &r.singles[i]
		if !one.matches(sub) {
			continue
		}
		a := &ocspAnswer{word: one.word, thisUpdate: one.thisUpdate, until: one.nextUpdate, revokedAt: one.revokedAt, raw: raw}
		if a.until.IsZero() {
			a.until = a.thisUpdate.Add(time.Hour)
		}
		if a.thisUpdate.After(now) || !now.Before(a.until) {
			continue
		}
		if best == nil || best.word != saysRevoked && (a.word == saysRevoked || a.thisUpdate.After(best.thisUpdate)) {
			best = a
		}
	}
	if best == nil {
		return nil, errors.New("OCSP response says nothing current about this certificate")
	}
	return best, nil
}

// verifySigner wants the signature of the issuer itself, or of a delegate that the issuer signed directly, is in
// date and has id-kp-OCSPSigning by name; the responder ID must be its own. A responder that has renewed
// its certificate may send the old one of that name too: one that passes suffices.
func (r *ocspResponse) verifySigner(issuer *x509.Certificate, now time.Time, revoked func(*subject) bool) error {
	if r.namedBy(issuer) {
		return r.signedBy(issuer)
	}
	err := errors.New("OCSP response by an unknown signer")
	for _, c := range r.certs {
		if !r.namedBy(c) {
			continue
		}
		if err = checkDelegate(c, issuer, now); err != nil {
			continue
		}
		sub := subjectsOf([]*x509.Certificate{c, issuer})[0]
		if revoked(&sub) {
			err = errors.New("OCSP response by a revoked delegate")
		} else if err = r.signedBy(c); err == nil {
			return nil
		}
	}
	return err
}

func (r *ocspResponse) signedBy(c *x509.Certificate) error {
	if err := r.alg.verify(c.PublicKey, r.alg.digest(r.rawTBS), r.signature); err != nil {
		return fmt.Errorf("OCSP response: %w", err)
	}
	return nil
}

func (r *ocspResponse) namedBy(c *x509.Certificate) bool {
	if r.responder != nil {
		return bytes.Equal(r.responder, c.RawSubject)
	}
	return bytes.Equal(r.responderKey, hashOf(crypto.SHA1, keyBits(c)))
}

func checkDelegate(c, issuer *x509.Certificate, now time.Time) error {
	p := &path{certs: []*x509.Certificate{c, issuer}, purpose: x509.ExtKeyUsageOCSPSigning}
	switch {
	case !bytes.Equal(c.RawIssuer, issuer.RawSubject):
		return errors.New("OCSP delegate of another CA")
	case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return errors.New("OCSP delegate without id-kp-OCSPSigning")
	case now.Before(c.NotBefore) || now.After(c.NotAfter):
		return errors.New("OCSP delegate is not in date")
	case !keyFact(c).pass || !checkSigAlg(p, 0).pass || !checkCritical(p, 0).pass || !checkVersion(p, 0).pass || !checkSerial(p, 0).pass:
		return errors.New("OCSP delegate with an unacceptable certificate")
	case hasExtension(c, oidKeyUsage) && c.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("OCSP delegate may not sign")
	}
	if err := c.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("OCSP delegate: %w", err)
	}
	return nil
}
