package trust

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync/atomic"
	"time"
)

// stapler keeps a current OCSP response for the listener's own certificate.
type stapler struct {
	sub  subject
	cert *tls.Certificate // without a response
	cur  atomic.Pointer[stapled]

	// Owned by the goroutine that refreshes.
	next time.Time
	told bool // that it is revoked
}

// stapled is the certificate with a response that says good.
type stapled struct {
	cert      *tls.Certificate
	thisTime  time.Time
	until     time.Time
	refreshAt time.Time
}

// prepareStaple sets the stapler up when our issuer offers OCSP. Without the issuer's certificate
// in cert_file no response could be verified: that is a notice, not an error.
func (s *Snapshot) prepareStaple(prev *stapler) {
	leaf := s.server.Leaf
	if !s.cfg.OCSPStaple || len(leaf.OCSPServer) == 0 {
		return
	}
	issuer := s.ownIssuer()
	if issuer == nil {
		s.notice("staple_no_issuer", s.cfg.CertFile, "the issuer of \"%s\" is not in the file, so its OCSP status is not stapled", certText(leaf))
		return
	}
	s.stapler = &stapler{sub: subjectsOf([]*x509.Certificate{leaf, issuer})[0], cert: s.server}
	if prev != nil && prev.sub.ocsp == s.stapler.sub.ocsp {
		if old := prev.cur.Load(); old != nil {
			s.stapler.take(&ocspAnswer{word: saysGood, thisUpdate: old.thisTime, until: old.until, raw: old.cert.OCSPStaple})
		}
	}
}

// ownIssuer is the certificate that signed ours: the next one in cert_file, or an anchor.
func (s *Snapshot) ownIssuer() *x509.Certificate {
	leaf := s.server.Leaf
	var candidates []*x509.Certificate
	for _, raw := range s.server.Certificate[1:] {
		if c, err := x509.ParseCertificate(raw); err == nil {
			candidates = append(candidates, c)
		}
	}
	for _, c := range append(candidates, s.Anchors()...) {
		if bytes.Equal(c.RawSubject, leaf.RawIssuer) && leaf.CheckSignatureFrom(c) == nil {
			return c
		}
	}
	return nil
}

// current is the certificate with its response, or nil when there is none in date.
func (st *stapler) current(now time.Time) *tls.Certificate {
	if c := st.cur.Load(); c != nil && now.Before(c.until) {
		return c.cert
	}
	return nil
}

// take staples an answer that says good.
func (st *stapler) take(a *ocspAnswer) {
	cert := *st.cert
	cert.OCSPStaple = a.raw
	st.cur.Store(&stapled{cert: &cert, thisTime: a.thisUpdate, until: a.until, refreshAt: halfLife(a)})
}

// halfLife is when an answer is refreshed (T61).
func halfLife(a *ocspAnswer) time.Time { return a.thisUpdate.Add(a.until.Sub(a.thisUpdate) / 2) }

var errOwnRevoked = errors.New("the listener's own certificate is revoked by its OCSP responder")

// refresh fetches a response when the old one is past its half life, and at most every minOCSPPause.
// A response that does not say good is never stapled.
func (st *stapler) refresh(ctx context.Context, c *ocspCache) error {
	now := c.clock()
	cur := st.cur.Load()
	if now.Before(st.next) || cur != nil && now.Before(cur.refreshAt) {
		return nil
	}
	st.next = now.Add(minOCSPPause)
	a, err := fetchOCSP(ctx, c.client, &st.sub, c.clock, func(*subject) bool { return false })
	switch {
	case err != nil:
		return err
	case a.word == saysRevoked:
		return errOwnRevoked
	case a.word == saysGood:
		st.take(a)
	}
	return nil
}
