package policy

import (
	"errors"
	"slices"
)

// DecidePhysical is Decide for physical replication, which is of a whole server and names no database, or
// the word "replication" instead (pg_basebackup): the first of databases that the client may replicate
// from decides the server, and a deny on any database of that server refuses, since the stream holds that
// one, too. databases are the configured names, without "*", in file order.
func (p *Policy) DecidePhysical(r Request, databases []string) (*Grant, error) {
	g, err := p.Decide(r)
	for i := 0; g == nil && i < len(databases); i++ {
		r.Database = databases[i]
		g, _ = p.Decide(r)
	}
	if g == nil {
		return nil, err
	}
	if denied := p.deniedBeside(r, g, databases); denied != nil {
		return nil, denied
	}
	return g, nil
}

// deniedBeside is a deny that fits on a database of the server that g leads to, or nil. It looks at the
// configured databases, since a deny may ask for one in its `when`, and at those that denies name.
func (p *Policy) deniedBeside(r Request, g *Grant, databases []string) error {
	names := slices.Clone(databases)
	for i := range p.denies.rules {
		names = append(names, p.denies.rules[i].Databases...)
	}
	for _, r.Database = range names {
		if t := p.resolve(&r); !t.known || t.db.Upstream != g.Upstream {
			continue
		}
		if _, err := p.Decide(r); errors.Is(err, ErrDenied) {
			return err
		}
	}
	return nil
}
