package identity

import "fmt"

// Reasons an identity is refused for. They are part of the closed set of refusal reasons.
const (
	ReasonLimits    = "cert_limits"
	ReasonIllegal   = "illegal_value"
	ReasonSPIFFE    = "spiffe"
	ReasonAmbiguous = "ambiguous_identity"
)

// public holds what a client reads. It names the certificate's fault, never a rule or a role.
var public = map[string]string{
	ReasonLimits:    "client certificate exceeds a size limit",
	ReasonIllegal:   "client certificate contains an illegal value",
	ReasonSPIFFE:    "client certificate is not a valid SPIFFE SVID",
	ReasonAmbiguous: "client certificate has an ambiguous identity",
}

// Error says why a certificate has no identity. All its texts are ASCII, whatever the certificate holds.
type Error struct {
	reason string
	field  string // "subject CN", "SAN dNSName", "extension 1.2.3"
	detail string // what is wrong with it
}

func refuse(reason, field, format string, args ...any) *Error {
	return &Error{reason: reason, field: field, detail: fmt.Sprintf(format, args...)}
}

// Error returns the reason, the field and what is wrong with it, for log and audit.
func (e *Error) Error() string { return e.reason + ": " + e.Detail() }

// SQLState is invalid_authorization_specification (PostgreSQL appendix A).
func (e *Error) SQLState() string { return "28000" }

// Reason is one of the Reason constants.
func (e *Error) Reason() string { return e.reason }

// Public is what the client reads.
func (e *Error) Public() string { return public[e.reason] }

// Detail names the field and its fault: facts about the certificate that its owner may read.
func (e *Error) Detail() string { return e.field + ": " + e.detail }
