package policy

import "errors"

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
	if denied := p.deniedBeside(r, g); denied != nil {
		return nil, denied
	}
	return g, nil
}

// deniedBeside is a deny that fits on a database of the server that g leads to, or nil.
func (p *Policy) deniedBeside(r Request, g *Grant) error {
	for i := range p.denies.rules {
		for _, r.Database = range p.denies.rules[i].Databases {
			if t := p.resolve(&r); !t.known || t.db.Upstream != g.Upstream {
				continue
			}
			if _, err := p.Decide(r); errors.Is(err, ErrDenied) {
				return err
			}
		}
	}
	return nil
}
