package trust

// Reason says why a certificate was refused: a slug for audit, log and metrics (T89).
type Reason string

// The reasons this package gives. The set is closed.
const (
	NoCert          Reason = "no_cert"
	Expired         Reason = "expired"
	NotYetValid     Reason = "not_yet_valid"
	UnknownCA       Reason = "unknown_ca"
	PathLength      Reason = "path_length"
	IsCA            Reason = "is_ca"
	Version         Reason = "version"
	Serial          Reason = "serial"
	KeyUsage        Reason = "key_usage"
	EKU             Reason = "eku"
	WeakKey         Reason = "weak_key"
	SigAlg          Reason = "sig_alg"
	NameConstraint  Reason = "name_constraint"
	CriticalExt     Reason = "critical_ext"
	CertLimits      Reason = "cert_limits"
	RevokedCRL      Reason = "revoked_crl"
	RevokedOCSP     Reason = "revoked_ocsp"
	CRLStale        Reason = "crl_stale"
	OCSPUnavailable Reason = "ocsp_unavailable"
	SPIFFE          Reason = "spiffe"
	Ambiguous       Reason = "ambiguous_identity"
	internalReason  Reason = "internal" // a panic or an outcome nobody foresaw; refuses (T32)
)

// Refusal is the error of Verify. Public, Detail and Hint are ASCII and state only facts about the
// presented certificates and the server's clock.
type Refusal struct {
	reason               Reason
	public, detail, hint string
	report               Report
	cause                error
}

// SQLState is invalid_authorization_specification (PostgreSQL appendix A).
func (r *Refusal) SQLState() string { return "28000" }

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

// Unwrap is the underlying error, for logs only.
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
