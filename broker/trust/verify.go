package trust

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// maxPresented is the number of certificates a client may present (T17).
const maxPresented = 10

// Verified is a client's certificate that passed every check.
type Verified struct {
	Leaf       *x509.Certificate
	Chains     [][]*x509.Certificate // every accepted chain, leaf first, anchor last
	Anchors    []string              // SHA-256 of each accepted chain's anchor, lower hex
	NotAfter   time.Time             // when no accepted chain is in date any more
	Revocation string                // what vouches that the leaf is not revoked: none, crl, ocsp
	Report     Report
}

// Report lists the checks of one verification.
type Report struct{ checks []Check }

// Check is one thing that was looked at.
type Check struct {
	Name     string
	Cert     string
	Pass     bool
	Reason   Reason
	Evidence string
}

// Checks are all checks, in the order they were made.
func (r Report) Checks() []Check { return r.checks }

// Verify decides about the certificates a client presented, leaf first. staple is the OCSP response
// that came with them, or nil. The error is always a *Refusal. It never panics (T32).
func (s *Snapshot) Verify(ctx context.Context, peer []*x509.Certificate, staple []byte, now time.Time) (v *Verified, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, refuse(internalReason, "certificate could not be checked", "", "", fmt.Errorf("panic: %v", p))
		}
	}()
	now = now.Truncate(time.Second)
	if len(peer) == 0 {
		return nil, refuse(NoCert, "connection requires a valid client certificate", "",
			"Set sslcert and sslkey to a client certificate and its key.", nil)
	}
	if len(peer) > maxPresented {
		return nil, refuse(CertLimits, "too many certificates presented", "", "", nil)
	}
	leaf := peer[0]
	if leaf.IsCA {
		return nil, refuse(IsCA, "certificate of a CA cannot log in", "", "", nil)
	}
	inter := x509.NewCertPool()
	for _, c := range peer[1:] {
		inter.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: s.anchors.pool, Intermediates: inter, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, s.explain(leaf, err, now)
	}
	v = &Verified{Leaf: leaf, Chains: chains, Revocation: "none"}
	for _, chain := range chains {
		v.Anchors = append(v.Anchors, s.anchors.ids[fingerprintOf(chain[len(chain)-1])])
		if end := earliest(chain); end.After(v.NotAfter) {
			v.NotAfter = end
		}
	}
	return v, nil
}

func earliest(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

func (s *Snapshot) explain(leaf *x509.Certificate, err error, now time.Time) *Refusal {
	clock := fmt.Sprintf("It is valid from %s to %s; the server's clock reads %s.", stamp(leaf.NotBefore), stamp(leaf.NotAfter), stamp(now))
	if now.After(leaf.NotAfter) {
		return refuse(Expired, "certificate has expired", clock, "Renew the client certificate.", err)
	}
	if now.Before(leaf.NotBefore) {
		return refuse(NotYetValid, "certificate is not yet valid", clock, "Check the clocks of both sides.", err)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch e.Reason {
		case x509.IncompatibleUsage:
			return refuse(EKU, "certificate is not for client authentication", "", "", err)
		case x509.TooManyIntermediates:
			return refuse(PathLength, "certificate chain is too long", "", "", err)
		case x509.CANotAuthorizedForThisName:
			return refuse(NameConstraint, "a CA in the chain may not issue this name", "", "", err)
		}
	}
	if _, ok := errors.AsType[x509.UnhandledCriticalExtension](err); ok {
		return refuse(CriticalExt, "certificate has an unknown critical extension", "", "", err)
	}
	return refuse(UnknownCA, "certificate is not issued by a trusted CA", "", "", err)
}

func refuse(reason Reason, public, detail, hint string, cause error) *Refusal {
	return &Refusal{reason: reason, public: public, detail: detail, hint: hint, cause: cause}
}
