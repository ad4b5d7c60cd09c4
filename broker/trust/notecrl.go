package trust

import (
	"bytes"
	"crypto/x509"
)

// noteCRLs reports what about the lists does not count, and which CAs have none (T53-T57).
func (s *Snapshot) noteCRLs(st *crlStore) {
	for _, path := range sortedKeys(st.files) {
		for _, l := range st.files[path].lists {
			issuer := nameText(l.issuer)
			switch {
			case l.delta:
				s.notice("crl_delta", path, "CRL of \"%s\" is a delta CRL and not used", issuer)
			case l.unusable != "":
				s.notice("crl_unusable", path, "CRL of \"%s\" is not used: %s", issuer, l.unusable)
			case l.number == nil:
				s.notice("crl_no_number", path, "CRL of \"%s\" has no CRL number: its date decides which is newer", issuer)
			}
			if l.unusable == "" && s.at.After(l.current()) {
				s.notice("crl_stale", path, "CRL of \"%s\" stale since %s", issuer, stamp(l.current()))
			}
		}
	}
	for _, ca := range s.Anchors() {
		s.noteRevoked(ca)
		if len(st.choose(ca, fingerprintOf(ca))) == 0 {
			s.notice("crl_missing", "", "no CRL of \"%s\" counts: certificates it issued are refused unless crl_policy is warn", certText(ca))
		}
	}
}

// noteRevoked warns about an anchor that another anchor revoked: paths end at an anchor, so that its
// revocation is never asked about at a login (T14).
func (s *Snapshot) noteRevoked(ca *x509.Certificate) {
	for _, issuer := range s.Anchors() {
		if issuer == ca || !bytes.Equal(issuer.RawSubject, ca.RawIssuer) || ca.CheckSignatureFrom(issuer) != nil {
			continue
		}
		sub := subjectsOf([]*x509.Certificate{ca, issuer})[0]
		sub.isCA = true
		if s.crls.lookup(&sub, s.at).state == crlRevoked {
			s.notice("anchor_revoked", "", "CA certificate \"%s\" is revoked by its issuer, but trusted as an anchor of its own: take it out", certText(ca))
		}
	}
}
