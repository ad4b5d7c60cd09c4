package trust

import (
	"context"
	"crypto/fips140"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/pgsignet/pgsignet/policy/identity"
)

// Verified is a client's certificate that passed every check. It is immutable.
type Verified struct {
	Leaf       *x509.Certificate
	Chains     [][]*x509.Certificate // every accepted chain, leaf first, anchor last
	Anchors    []string              // SHA-256 of each accepted chain's anchor, lower hex
	NotAfter   time.Time             // when no accepted chain is in date any more (UTC)
	Revocation string                // what says that the leaf is not revoked: none, crl or ocsp
	Report     Report

	entry   *entry
	at      time.Time    // of the login
	answers []*ocspEntry // held, so that they are asked about again for as long as the session lives
}

// login is the input of one verification.
type login struct {
	peer   []*x509.Certificate
	staple []byte    // OCSP response of the client, or nil
	now    time.Time // UTC, cut to seconds
	exact  time.Time // not cut
	fetch  bool      // OCSP responders may be asked
}

// Verify decides about the certificates a client presented, leaf first. staple is the OCSP response
// that came with them, or nil. ctx bounds the wait for an OCSP responder. The error is always a
// *Refusal. Verify never panics (T32). It keeps the certificates and changes none.
func (s *Snapshot) Verify(ctx context.Context, peer []*x509.Certificate, staple []byte, now time.Time) (*Verified, error) {
	return s.verify(ctx, login{peer: slices.Clone(peer), staple: staple, now: now, fetch: true})
}

// Explain is Verify without the network: OCSP answers count only if they are at hand.
func (s *Snapshot) Explain(peer []*x509.Certificate, staple []byte, now time.Time) (*Verified, error) {
	return s.verify(context.Background(), login{peer: slices.Clone(peer), staple: staple, now: now})
}

func (s *Snapshot) verify(ctx context.Context, in login) (v *Verified, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, refuse(internalReason, "", fmt.Errorf("panic in verification: %v", p))
		}
	}()
	in.exact = in.now
	in.now = in.now.UTC().Truncate(time.Second)
	v, refusal := s.decide(ctx, in)
	switch {
	case refusal != nil:
		return nil, refusal
	case v == nil:
		return nil, refuse(internalReason, "", nil)
	}
	return v, nil
}

// decide takes the remembered chains if they lead to a yes, else builds them: a refusal always
// comes from the whole of the evidence.
func (s *Snapshot) decide(ctx context.Context, in login) (*Verified, *Refusal) {
	if len(in.peer) == 0 {
		return nil, refuse(NoCert, "", nil)
	}
	key := peerKey(in.peer)
	e := s.cache.get(key)
	if e == nil {
		if refusal := checkLimits(in.peer); refusal != nil {
			return nil, refusal
		}
	}
	set, refusal := s.anchorsFor(in.peer[0])
	if refusal != nil {
		return nil, refusal
	}
	if e != nil {
		if v, refusal := s.admit(ctx, e, set, in); refusal == nil && v != nil {
			return v, nil
		}
	}
	if e, refusal = s.build(key, set, in); refusal != nil {
		return nil, refusal
	}
	v, refusal := s.admit(ctx, e, set, in)
	if refusal == nil {
		s.cache.put(e)
	}
	return v, refusal
}

// build makes the chains and holds them to all time-independent checks.
func (s *Snapshot) build(key fingerprint, set *anchorSet, in login) (*entry, *Refusal) {
	leaf, inter := in.peer[0], reachable(in.peer[0], in.peer[1:])
	if len(inter) > 0 && work(leaf, inter, set) > maxWork {
		return nil, refuse(CertLimits, "its intermediate certificates allow too many chains", nil)
	}
	found, err := s.goVerify(leaf, inter, set.pool, in.now)
	if err != nil {
		return nil, s.diagnose(in.peer, set, in.now, err)
	}
	e := &entry{key: key, peer: in.peer, set: set}
	for _, c := range in.peer {
		e.bytes += len(c.Raw)
	}
	for _, certs := range found {
		p := s.path(certs)
		if len(certs) < 2 || p.staticFailure() != nil || !fipsAllowed(certs) {
			continue
		}
		c := &chain{path: p, anchor: set.ids[fingerprintOf(certs[len(certs)-1])]}
		c.notBefore, c.notAfter = p.window()
		c.subjects = subjectsOf(certs)
		e.chains = append(e.chains, c)
	}
	if len(e.chains) == 0 {
		return nil, s.diagnose(in.peer, set, in.now, nil)
	}
	for _, id := range leaf.UnhandledCriticalExtensions {
		if s.mapped[id.String()] {
			e.critical = append(e.critical, id.String())
		}
	}
	return e, nil
}

func (s *Snapshot) path(certs []*x509.Certificate) *path {
	return &path{certs: certs, purpose: s.purpose, mapped: s.mapped}
}

// goVerify runs x509.Verify on copies without the critical extensions that are evaluated here, and
// returns chains of the certificates as they were presented.
func (s *Snapshot) goVerify(leaf *x509.Certificate, inter []*x509.Certificate, roots *x509.CertPool, now time.Time) ([][]*x509.Certificate, error) {
	original := map[*x509.Certificate]*x509.Certificate{}
	own := func(c *x509.Certificate, mapped map[string]bool) *x509.Certificate {
		mine := withHandled(c, mapped)
		original[mine] = c
		return mine
	}
	pool := x509.NewCertPool()
	for _, c := range inter {
		pool.AddCert(own(c, nil))
	}
	chains, err := own(leaf, s.mapped).Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{s.purpose},
	})
	for _, certs := range chains {
		for i, c := range certs {
			if o := original[c]; o != nil {
				certs[i] = o
			}
		}
	}
	return chains, err
}

// fipsAllowed is the chain filter that crypto/tls applies in FIPS 140-3 mode, but not to a server's
// clients under RequestClientCert (T34).
func fipsAllowed(certs []*x509.Certificate) bool {
	return !fips140.Enabled() || !slices.ContainsFunc(certs, func(c *x509.Certificate) bool { return !keyFact(c).pass })
}

// admit holds the chains of e to what changes with time: dates and revocation.
func (s *Snapshot) admit(ctx context.Context, e *entry, set *anchorSet, in login) (*Verified, *Refusal) {
	chains, ok := e.under(set, s.mapped)
	if !ok {
		return nil, refuse(internalReason, "", nil)
	}
	v := &Verified{Leaf: e.peer[0], Report: Report{now: in.now}, entry: e, at: in.now}
	var worst *finding
	var nearest *chain
	for _, c := range chains {
		statuses, f := s.judge(ctx, c, in)
		v.Report.runs = append(v.Report.runs, run{path: c.path, anchored: true, accepted: f == nil, statuses: statuses})
		if f == nil {
			v.accept(c, statuses)
			v.answers = append(v.answers, s.holdOCSP(c)...)
		} else if worst == nil || progress(f.reason) > progress(worst.reason) {
			worst, nearest = f, c
		}
	}
	if len(v.Chains) > 0 {
		return v, nil
	}
	refusal := s.refusal(nearest.path, worst, in.now, nil)
	refusal.report = v.Report
	return nil, refusal
}

// judge returns what keeps c from being accepted now, or nil.
func (s *Snapshot) judge(ctx context.Context, c *chain, in login) ([]status, *finding) {
	if in.now.Before(c.notBefore) || in.now.After(c.notAfter) {
		for i, cert := range c.certs {
			if f := validity(cert, i, in.now); !f.pass {
				return nil, &f
			}
		}
	}
	return s.revocation(ctx, c, in)
}

// Share puts into peer, the certificates that were verified, the ones that are remembered of their
// kind: they are the same bytes, and the connections of one client need not each keep their own.
func (v *Verified) Share(peer []*x509.Certificate) {
	if v.entry != nil && len(v.entry.peer) == len(peer) {
		copy(peer, v.entry.peer)
	}
}

// Identity is what the leaf says of its owner (identity.Extract), with the anchors of its chains. Logins
// with the same certificate share it: it must not be changed.
func (v *Verified) Identity(mapped []string) (*identity.Identity, error) {
	if v.entry != nil {
		known := v.entry.owner.Load()
		if known != nil && slices.Equal(known.mapped, mapped) && slices.Equal(known.identity.Anchors, v.Anchors) {
			return known.identity, nil
		}
	}
	id, err := identity.Extract(v.Leaf, mapped)
	if err != nil {
		return nil, err
	}
	id.Anchors = v.Anchors
	if v.entry != nil {
		v.entry.owner.Store(&owner{mapped: mapped, identity: id})
	}
	return id, nil
}

// owner is an identity with the extensions that it was extracted for.
type owner struct {
	mapped   []string
	identity *identity.Identity
}

func (v *Verified) accept(c *chain, statuses []status) {
	v.Chains = append(v.Chains, c.certs)
	v.Anchors = append(v.Anchors, c.anchor)
	if c.notAfter.After(v.NotAfter) {
		v.NotAfter = c.notAfter
	}
	if source := vouchedBy(statuses); v.Revocation == "" || source != "none" {
		v.Revocation = source
	}
}
