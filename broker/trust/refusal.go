package trust

import (
	"crypto/x509"
	"fmt"
	"time"
)

// Refusal is the error of Verify. Public, Detail and Hint are ASCII and state only facts about the
// presented certificates and the server's clock.
type Refusal struct {
	reason               Reason
	public, detail, hint string
	report               Report
	cause                error
}

// SQLState is invalid_authorization_specification, or internal_error where the fault is ours
// (PostgreSQL appendix A).
func (r *Refusal) SQLState() string {
	if r.reason == internalReason {
		return "XX000"
	}
	return "28000"
}

// Reason is a slug of the closed set T89.
func (r *Refusal) Reason() string { return string(r.reason) }

// Public is the message for the client.
func (r *Refusal) Public() string { return r.public }

// Detail names the certificate, what is wrong with it and, for dates, both clocks.
func (r *Refusal) Detail() string { return r.detail }

// Hint says what the owner of the certificate can do.
func (r *Refusal) Hint() string { return r.hint }

// Report lists every check that was made.
func (r *Refusal) Report() Report { return r.report }

// Unwrap is the underlying error, for logs only: it may name what a client must not learn.
func (r *Refusal) Unwrap() error { return r.cause }

// Error is for log and audit.
func (r *Refusal) Error() string {
	s := string(r.reason) + ": " + r.public
	if r.detail != "" {
		s += ": " + r.detail
	}
	if r.cause != nil {
		s += ": " + r.cause.Error()
	}
	return s
}

// texts are what a client reads, by reason.
var texts = map[Reason]struct{ public, hint string }{
	NoCert: {"connection requires a valid client certificate",
		"Set sslcert and sslkey to a client certificate and its private key. Some drivers send none that a CA unknown to this server issued."},
	Expired:        {"client certificate has expired", "Renew the certificate."},
	NotYetValid:    {"client certificate is not yet valid", "Compare the clocks of the client, the server and the issuing CA."},
	UnknownCA:      {"client certificate is not issued by a trusted CA", "Use a certificate of a CA that this server trusts, with all intermediate certificates in the same file."},
	PathLength:     {"client certificate has more intermediate CAs than its CA allows", ""},
	IsCA:           {"a CA certificate cannot log in", "Use a client certificate that is no CA."},
	Version:        {"client certificate has an X.509 version that is not accepted", "Have it issued as X.509 v3."},
	Serial:         {"client certificate chain has an invalid serial number", "Have it issued with a positive serial number of at most 20 octets."},
	KeyUsage:       {"client certificate has the wrong key usage", "Have it issued with key usage digitalSignature alone."},
	EKU:            {"client certificate is not for client authentication", "Have it issued with extended key usage clientAuth."},
	WeakKey:        {"client certificate chain has a key that is too weak", "Use RSA from 2048 bits, P-256, P-384, P-521 or Ed25519."},
	SigAlg:         {"client certificate chain has a signature algorithm that is too weak", "Have it signed with SHA-256 or better."},
	NameConstraint: {"client certificate has a name that its CA may not issue", ""},
	CriticalExt:    {"client certificate has an unknown critical extension", ""},
	CertLimits:     {"client certificate exceeds a limit", ""},
	RevokedCRL:     {"client certificate is revoked", "Ask for a new certificate."},
	RevokedOCSP:    {"client certificate is revoked", "Ask for a new certificate."},
	CRLStale:       {"revocation list of the client certificate's CA is not current", "This is for the server's operator to repair."},
	OCSPUnavailable: {"revocation status of the client certificate is not available",
		"This is for the server's operator to repair; trying again later may help."},
	IllegalValue:   {"client certificate contains an illegal value", ""},
	SPIFFE:         {"client certificate is not a valid SPIFFE X.509-SVID", ""},
	Ambiguous:      {"client certificate has more than one identity", "Have it issued with exactly one URI name."},
	internalReason: {"client certificate could not be checked", ""},
}

// refuse makes a refusal that concerns no path.
func refuse(reason Reason, evidence string, cause error) *Refusal {
	t := texts[reason]
	r := &Refusal{reason: reason, public: t.public, hint: t.hint, cause: cause}
	if evidence != "" {
		r.detail = ascii(capital(evidence)) + "."
		r.report.extra = []Check{{Chain: -1, Cert: -1, Name: string(reason), Evidence: ascii(evidence)}}
	}
	return r
}

// refusal words a failure of one certificate of a path. Of an anchor nothing is said but its name,
// which its child carries, too.
func (s *Snapshot) refusal(p *path, f *finding, now time.Time, cause error) *Refusal {
	t := texts[f.reason]
	r := &Refusal{reason: f.reason, public: t.public, hint: t.hint, cause: cause}
	c := p.certs[f.index]
	anchored := len(p.certs) > 1
	if f.index > 0 && (f.reason == RevokedCRL || f.reason == RevokedOCSP) {
		r.public, r.hint = "a CA certificate above the client certificate is revoked", ""
	}
	switch {
	case f.reason == Expired || f.reason == NotYetValid:
		r.detail = dateDetail(c, anchored && f.index == len(p.certs)-1, now)
		if f.index > 0 {
			r.public, r.hint = caDatePublic[f.reason], ""
		}
	case f.evidence != "" && anchored && f.index == len(p.certs)-1 && f.reason != NameConstraint:
		r.detail = fmt.Sprintf("The CA certificate \"%s\" is the cause.", certText(c))
	case f.evidence != "":
		r.detail = fmt.Sprintf("Certificate \"%s\": %s.", certText(c), ascii(f.evidence))
	}
	one := run{path: p, anchored: anchored}
	if f.byX509 {
		one.x509 = f
	}
	r.report = Report{now: now, runs: []run{one}}
	if !anchored {
		r.report.extra = []Check{{Cert: f.index, Subject: certText(c), Name: string(f.reason), Rule: f.rule, Evidence: ascii(f.evidence)}}
	}
	return r
}

var caDatePublic = map[Reason]string{
	Expired:     "a CA certificate above the client certificate has expired",
	NotYetValid: "a CA certificate above the client certificate is not yet valid",
}

// dateDetail shows both clocks (T49).
func dateDetail(c *x509.Certificate, anchor bool, now time.Time) string {
	if anchor {
		return fmt.Sprintf("The CA certificate is \"%s\"; the server's clock reads %s.", certText(c), stamp(now))
	}
	return fmt.Sprintf("Certificate \"%s\" is valid from %s to %s; the server's clock reads %s.",
		certText(c), stamp(c.NotBefore), stamp(c.NotAfter), stamp(now))
}

// capital makes the first letter of a sentence a capital.
func capital(s string) string {
	if s != "" && 'a' <= s[0] && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}
