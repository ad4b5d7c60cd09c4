package trust

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"
)

// Values of Config.CRLPolicy.
const (
	crlStrict = "strict"
	crlGrace  = "grace"
	crlWarn   = "warn"
)

// subject is a certificate below the anchor, as revocation sees it.
type subject struct {
	cert, issuer *x509.Certificate
	issuerID     fingerprint
	serial       serialNumber
	isCA         bool
	points       []string // distribution points it names, encoded
	ocsp         ocspKey
}

// subjectsOf prepares the certificates of a chain that passed the checks: their serials are valid.
func subjectsOf(certs []*x509.Certificate) []subject {
	subs := make([]subject, len(certs)-1)
	for i := range subs {
		sub := &subs[i]
		sub.cert, sub.issuer = certs[i], certs[i+1]
		sub.issuerID = fingerprintOf(sub.issuer)
		sub.serial, _ = serialFrom(append([]byte{0}, sub.cert.SerialNumber.Bytes()...))
		sub.isCA = i > 0
		sub.points = certificatePoints(sub.cert)
		sub.ocsp = ocspKeyOf(sub.cert, sub.issuer)
	}
	return subs
}

// status is what the sources say of one certificate.
type status struct {
	crl  crlStatus
	ocsp ocspStatus
}

// crlState is a list's word on a certificate. The zero value refuses.
type crlState int

const (
	crlMissing crlState = iota // no list counts for it
	crlStale                   // only lists past their end
	crlGood
	crlRevoked
	crlOff // none is asked for
)

type crlStatus struct {
	state  crlState
	list   *crl   // the one that decided
	issuer []byte // raw name
}

// lookup asks the newest list of each scope that covers sub. One that revokes wins, even a stale
// one (T63); else one that is current suffices.
func (st *crlStore) lookup(sub *subject, now time.Time) crlStatus {
	out := crlStatus{issuer: sub.issuer.RawSubject}
	lists := st.choose(sub.issuer, sub.issuerID)
	for i, l := range lists {
		if l.thisUpdate.After(now) || !l.scope.covers(sub) || superseded(lists[:i], l, now) {
			continue
		}
		if l.serials.contains(sub.serial) {
			return crlStatus{crlRevoked, l, out.issuer}
		}
		switch {
		case !now.After(l.current()):
			out.state, out.list = crlGood, l
		case out.state != crlGood && (out.list == nil || l.current().After(out.list.current())):
			out.state, out.list = crlStale, l
		}
	}
	return out
}

// superseded says that a newer list of the same scope is in force.
func superseded(newer []*crl, l *crl, now time.Time) bool {
	for _, n := range newer {
		if !n.thisUpdate.After(now) && n.scope.equal(&l.scope) {
			return true
		}
	}
	return false
}

// tolerated says that crl_policy accepts a certificate whose list is stale or missing (T57).
func (s *Snapshot) tolerated(st crlStatus, now time.Time) bool {
	switch s.cfg.CRLPolicy {
	case crlStrict:
	case crlWarn:
		return true
	case crlGrace:
		return st.state == crlStale && !now.After(st.list.current().Add(s.cfg.CRLGrace))
	}
	return false
}

// revocation asks every source about every certificate of c below its anchor and returns what
// keeps c from being accepted, or nil. The sources are asked about all of them: one that says
// revoked wins over one that is silent (T63).
func (s *Snapshot) revocation(ctx context.Context, c *chain, in login) ([]status, *finding) {
	statuses := make([]status, len(c.subjects))
	var worst *finding
	for i := range c.subjects {
		st := &statuses[i]
		st.crl.state = crlOff
		if s.crls != nil {
			st.crl = s.crls.lookup(&c.subjects[i], in.now)
		}
	}
	s.askOCSP(ctx, c, statuses, in)
	for i := range statuses {
		f := s.unsettled(&statuses[i], i, in.now)
		if f != nil && (worst == nil || progress(f.reason) < progress(worst.reason)) {
			worst = f
		}
	}
	return statuses, worst
}

// unsettled is what the sources have against the certificate at index, or nil. Revocation comes
// first; it formats nothing when all is well.
func (s *Snapshot) unsettled(st *status, index int, now time.Time) *finding {
	switch {
	case st.crl.state == crlRevoked:
		return &finding{reason: RevokedCRL, rule: "T54", index: index, fact: st.crl.fact()}
	case st.ocsp.state == ocspRevoked:
		return &finding{reason: RevokedOCSP, rule: "T59", index: index, fact: st.ocsp.fact()}
	case (st.crl.state == crlStale || st.crl.state == crlMissing) && !s.tolerated(st.crl, now):
		return &finding{reason: CRLStale, rule: "T57", index: index, fact: st.crl.fact()}
	case st.ocsp.state == ocspUnavailable && s.cfg.OCSP == ocspStrict:
		return &finding{reason: OCSPUnavailable, rule: "T61", index: index, fact: st.ocsp.fact()}
	}
	return nil
}

// findings tells what each source that was asked said of the certificate at index.
func (st *status) findings(index int) []finding {
	var all []finding
	switch st.crl.state {
	case crlOff:
	case crlStale, crlMissing:
		all = append(all, finding{reason: CRLStale, rule: "T57", index: index, fact: st.crl.fact()})
	default:
		all = append(all, finding{reason: RevokedCRL, rule: "T54", index: index, fact: st.crl.fact()})
	}
	switch st.ocsp.state {
	case ocspOff:
	case ocspUnavailable:
		all = append(all, finding{reason: OCSPUnavailable, rule: "T61", index: index, fact: st.ocsp.fact()})
	default:
		all = append(all, finding{reason: RevokedOCSP, rule: "T59", index: index, fact: st.ocsp.fact()})
	}
	return all
}

func (st crlStatus) fact() fact {
	switch st.state {
	case crlGood:
		return passed(fmt.Sprintf("not in CRL %s of \"%s\", current until %s", st.list.name(), nameText(st.issuer), stamp(st.list.current())))
	case crlRevoked:
		return failed("revoked by CRL %s of \"%s\"", st.list.name(), nameText(st.issuer))
	case crlStale:
		return failed("CRL of \"%s\" stale since %s", nameText(st.issuer), stamp(st.list.current()))
	case crlOff:
		return passed("no CRL is asked for")
	}
	return failed("no current CRL of \"%s\"", nameText(st.issuer))
}

// vouchedBy is the source that says that the leaf is not revoked: ocsp, crl or none.
func vouchedBy(statuses []status) string {
	switch {
	case len(statuses) == 0:
		return "none"
	case statuses[0].ocsp.state == ocspGood:
		return "ocsp"
	case statuses[0].crl.state == crlGood:
		return "crl"
	}
	return "none"
}
