package policy

// reason ranks how far a map came.
type reason uint8

const (
	reasonMap reason = iota
	reasonRole
	reasonUser
	reasonDatabase
)

func (o outcome) reason() reason {
	switch o.step {
	case atCaptures:
		if o.cause == causeLong {
			return reasonRole
		}
	case atUser:
		return reasonUser
	case atDatabase, atReplication:
		return reasonDatabase
	}
	return reasonMap
}

// failed describes an expression that failed at run time.
func (o outcome) failed() string {
	if o.step == atSettings {
		return "settings: " + o.err.Error()
	}
	return "when: " + o.err.Error()
}

// refusal is the answer when no map grants.
func (d *decision) refusal(best outcome, rule *rule) *Denied {
	switch best.reason() {
	case reasonRole:
		return ErrRoleName.with(&rule.ref, best.cause.String())
	case reasonUser:
		return ErrUser.with(&rule.ref, "")
	case reasonDatabase:
		cause := ""
		if best.step == atReplication {
			cause = "the map does not let replication connections in"
		}
		return ErrDatabase.with(&rule.ref, cause)
	}
	if d.r.Identity.Ambiguous {
		return ErrAmbiguous.with(nil, "")
	}
	return ErrNoMap.with(nil, "")
}
