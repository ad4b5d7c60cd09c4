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
	IllegalValue    Reason = "illegal_value"
	Ambiguous       Reason = "ambiguous_identity"
	internalReason  Reason = "internal" // a panic or an outcome nobody foresaw; refuses (T32)
)
