package policy

// Access is what a decision comes to, in the words of the audit.
type Access struct {
	Granted bool
	Reason  string // of a refusal
	Rule    string // the map that granted; of a refusal, what refused or came furthest
	Role    string
	DBName  string // on the server
	Admin   string
}

// AccessOf is the access that Decide gave.
func AccessOf(g *Grant, err error) Access {
	if g == nil {
		a := Access{}
		if denied, ok := err.(*Denied); ok {
			a.Reason = denied.Reason()
			if denied.Rule != nil {
				a.Rule = denied.Rule.Name
			}
		}
		return a
	}
	return Access{Granted: true, Rule: g.Rule.Name, Role: g.Role, DBName: g.DBName, Admin: g.Admin}
}

// Differs names what is different in b: "verdict" alone, or of two grants "map", "role", "database"
// and "admin". Two refusals do not differ: the client gets nothing either way.
func (a Access) Differs(b Access) []string {
	if a.Granted != b.Granted {
		return []string{"verdict"}
	}
	if !a.Granted {
		return nil
	}
	var names []string
	for _, f := range []struct {
		name string
		same bool
	}{
		{"map", a.Rule == b.Rule}, {"role", a.Role == b.Role}, {"database", a.DBName == b.DBName}, {"admin", a.Admin == b.Admin},
	} {
		if !f.same {
			names = append(names, f.name)
		}
	}
	return names
}
