package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxPaths bounds the paths that are looked at to choose the reason of a refusal.
const maxPaths = 16

// walk finds every path from a leaf to an anchor by names and signatures alone, to learn why none
// is acceptable (T35). It never accepts: x509.Verify does.
type walk struct {
	set    *anchorSet
	inter  []*x509.Certificate
	links  map[[2]*x509.Certificate]bool // child and issuer: the signature verifies
	paths  [][]*x509.Certificate
	broken string // why the climb ended at the highest certificate reached
	height int    // its height
}

func newWalk(set *anchorSet, inter []*x509.Certificate) *walk {
	return &walk{set: set, inter: inter, links: map[[2]*x509.Certificate]bool{}}
}

// climb collects the paths that continue chain. Each link's signature is checked once, so the work
// is below what budget.go allowed.
func (w *walk) climb(chain []*x509.Certificate) {
	top := chain[len(chain)-1]
	issuers := w.set.bySubject[string(top.RawIssuer)]
	for _, anchor := range issuers {
		if len(w.paths) < maxPaths && !inChain(anchor, chain) && w.link(top, anchor, len(chain)) {
			w.paths = append(w.paths, append(chain[:len(chain):len(chain)], anchor))
		}
	}
	found := len(issuers) > 0
	for _, c := range w.inter {
		if !bytes.Equal(c.RawSubject, top.RawIssuer) || inChain(c, chain) {
			continue
		}
		found = true
		if len(w.paths) < maxPaths && w.link(top, c, len(chain)) {
			w.climb(append(chain[:len(chain):len(chain)], c))
		}
	}
	switch {
	case found:
	case bytes.Equal(top.RawSubject, top.RawIssuer):
		w.note(len(chain), fmt.Sprintf("\"%s\" is issued by itself and not trusted", certText(top)))
	default:
		w.note(len(chain), fmt.Sprintf("issuer \"%s\" of \"%s\" not found", nameText(top.RawIssuer), certText(top)))
	}
}

// note keeps the reason why the highest climb ended.
func (w *walk) note(height int, why string) {
	if height > w.height {
		w.height, w.broken = height, why
	}
}

// link says that parent's key signed child, by whatever algorithm: whether that algorithm and that
// parent are good enough is a check's business. A signature that cannot be checked because its
// algorithm is too weak for Go counts as genuine, since the reason is then the algorithm.
func (w *walk) link(child, parent *x509.Certificate, height int) bool {
	key := [2]*x509.Certificate{child, parent}
	ok, known := w.links[key]
	if !known {
		err := parent.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature)
		_, insecure := errors.AsType[x509.InsecureAlgorithmError](err)
		ok = err == nil || insecure || errors.Is(err, x509.ErrUnsupportedAlgorithm)
		w.links[key] = ok
	}
	isCA := parent.Version == 3 && parent.BasicConstraintsValid && parent.IsCA
	switch {
	case !isCA:
		w.note(height, fmt.Sprintf("issuer \"%s\" of \"%s\" is not a CA", certText(parent), certText(child)))
	case !ok:
		w.note(height, fmt.Sprintf("the signature of \"%s\" is not by the key of its issuer \"%s\"", certText(child), certText(parent)))
	}
	return ok && isCA
}

// diagnose says why no chain from the leaf was accepted: the failure of the path that came nearest.
// goErr is what x509.Verify said, if it said no.
func (s *Snapshot) diagnose(peer []*x509.Certificate, set *anchorSet, now time.Time, goErr error) *Refusal {
	leaf := peer[0]
	if _, ok := set.ids[fingerprintOf(leaf)]; ok {
		p := s.path([]*x509.Certificate{leaf, leaf})
		return s.refusal(p, &finding{reason: IsCA, rule: "T37", fact: failed("it is itself a trust anchor")}, now, goErr)
	}
	w := newWalk(set, reachable(leaf, peer[1:]))
	w.climb([]*x509.Certificate{leaf})
	var best *finding
	var nearest *path
	for _, certs := range w.paths {
		p := s.path(certs)
		if f := s.failure(p, now); best == nil || progress(f.reason) > progress(best.reason) {
			best, nearest = f, p
		}
	}
	if best == nil {
		best = &finding{reason: UnknownCA, rule: "T35", fact: failed("%s", w.broken)}
		nearest = s.path([]*x509.Certificate{leaf})
	}
	return s.refusal(nearest, best, now, goErr)
}

// failure is what keeps a path from being accepted at now. x509.Verify is asked last, for that path
// alone: it knows the constraints on DNS, IP, email and URI names, and certificate policies.
func (s *Snapshot) failure(p *path, now time.Time) *finding {
	if f := p.staticFailure(); f != nil {
		return f
	}
	dates := p.dates(now)
	if i := slices.IndexFunc(dates, func(f finding) bool { return !f.pass }); i >= 0 {
		return &dates[i]
	}
	_, err := s.goVerify(p.certs[0], p.certs[1:len(p.certs)-1], poolOf(p.certs[len(p.certs)-1]), now)
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.CANotAuthorizedForThisName {
		return &finding{byX509: true, reason: NameConstraint, rule: "T44", fact: failed("a DNS, IP, e-mail or URI name in it is not one its CA may issue")}
	}
	return &finding{byX509: true, reason: UnknownCA, rule: "T34", fact: failed("no chain satisfies the policies of its CAs")}
}

func poolOf(c *x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return pool
}
