package policy

import "fmt"

// notAdmitted is all that a client learns of the rules: it cannot tell one reason from another.
const notAdmitted = "certificate not admitted"

// The refusals of Decide, for errors.Is. What Decide returns also holds a rule and a cause.
//
// ErrNoMap, ErrUser and ErrDatabase say how far the best map came; their public text is the same.
var (
	ErrNoMap     = &Denied{reason: "no_map", public: notAdmitted}
	ErrUser      = &Denied{reason: "user_not_granted", public: notAdmitted}
	ErrDatabase  = &Denied{reason: "database_not_granted", public: notAdmitted}
	ErrDenied    = &Denied{reason: "denied_by_rule", public: notAdmitted}
	ErrAmbiguous = &Denied{reason: "ambiguous_identity", public: "certificate holds more than one identity",
		hint: "Use a certificate with one common name and at most one SPIFFE ID."}
	// ErrLocked is for the broker's locks, which come before every rule.
	ErrLocked   = &Denied{reason: "locked", public: notAdmitted}
	ErrRoleName = &Denied{reason: "role_name", public: notAdmitted}
)

// errUserName is ErrRoleName when the user name asked for cannot be a role: that tells nothing
// of the rules.
var errUserName = &Denied{reason: ErrRoleName.reason, public: "user name must have 1 to 63 bytes"}

// Denied is a refused login.
type Denied struct {
	reason, public, hint string

	Rule  *RuleRef // the rule that refused, or that came furthest; nil: none fitted at all
	Cause string   // for audit and log: may name rules, never shown to a client
}

// with is d, with the rule and cause of one login.
func (d *Denied) with(rule *RuleRef, cause string) *Denied {
	return &Denied{reason: d.reason, public: d.public, hint: d.hint, Rule: rule, Cause: cause}
}

// Error is for the log and the audit.
func (d *Denied) Error() string {
	switch {
	case d.Rule != nil && d.Cause != "":
		return fmt.Sprintf("%s: %v: %s", d.reason, d.Rule, d.Cause)
	case d.Rule != nil:
		return fmt.Sprintf("%s: %v", d.reason, d.Rule)
	case d.Cause != "":
		return d.reason + ": " + d.Cause
	}
	return d.reason
}

// Is makes errors.Is compare reasons.
func (d *Denied) Is(target error) bool {
	t, ok := target.(*Denied)
	return ok && t.reason == d.reason
}

// SQLState is invalid_authorization_specification (PostgreSQL appendix A).
func (d *Denied) SQLState() string { return "28000" }

// Reason is the slug for audit, log and metric.
func (d *Denied) Reason() string { return d.reason }

// Public is the text for the client.
func (d *Denied) Public() string { return d.public }

// Hint tells a client what to do, or is empty.
func (d *Denied) Hint() string { return d.hint }
