package policy

// reason ranks how far a map came: 0 no_map, 1 role_name, 2 user, 3 database.
func (o outcome) reason() int {
	switch o.step {
	case atCaptures:
		if o.cause == causeLong {
			return 1
		}
	case atUser:
		return 2
	case atDatabase, atReplication:
		return 3
	}
	return 0
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
	case 1:
		return ErrRoleName.with(&rule.ref, best.cause.String())
	case 2:
		return ErrUser.with(&rule.ref, "")
	case 3:
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
