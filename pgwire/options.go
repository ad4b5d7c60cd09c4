package pgwire

import "strings"

// ForbiddenSetting reports whether a client may never set name at start-up: role and
// session_authorization, which would leave the mapped role, and the broker's own pgsignet.*
// (W13). As PostgreSQL compares: without case, and `-` in a switch is `_` (A125).
func ForbiddenSetting(name string) bool {
	name = strings.Map(foldSetting, name)
	if name == "role" || name == "session_authorization" {
		return true
	}
	rest, own := strings.CutPrefix(name, "pgsignet")
	return own && (rest == "" || rest[0] == '.' || rest[0] == '_')
}

// foldSetting folds ASCII only, as guc_name_compare does.
func foldSetting(r rune) rune {
	switch {
	case r == '-':
		return '_'
	case 'A' <= r && r <= 'Z':
		return r + 'a' - 'A'
	}
	return r
}

// ParseBool reads a boolean as PostgreSQL's parse_bool does: any unique prefix of true, false, yes
// and no, at least two letters of on and off, 1 and 0; case does not matter.
func ParseBool(s string) (value, ok bool) {
	s = strings.ToLower(s)
	prefix := func(word string, least int) bool { return len(s) >= least && strings.HasPrefix(word, s) }
	switch {
	case prefix("true", 1), prefix("yes", 1), s == "on", s == "1":
		return true, true
	case prefix("false", 1), prefix("no", 1), prefix("off", 2), s == "0":
		return false, true
	}
	return false, false
}
