package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// maxRoles is how many roles there are besides the bench's own. Each has a certificate of its name.
const maxRoles = 1000

func roleNames() []string {
	names := make([]string, maxRoles)
	for i := range names {
		names[i] = fmt.Sprintf("role%04d", i)
	}
	return names
}

// issueRoles writes a certificate for each role.
func (w *world) issueRoles(ca *pki.CA) error {
	for _, name := range roleNames() {
		leaf, err := ca.Issue(pki.Shape{CN: name})
		if err != nil {
			return err
		}
		if _, _, err := leaf.Write(w.dir, name); err != nil {
			return err
		}
	}
	return nil
}

// createRoles makes the roles. PostgreSQL admits them by the proxies' certificate (identLines).
func (w *world) createRoles(ctx context.Context) error {
	var sql strings.Builder
	for _, name := range roleNames() {
		fmt.Fprintf(&sql, "CREATE ROLE %s LOGIN; ", name)
	}
	return w.pg.ExecIn(ctx, "bench", sql.String()+"GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC")
}

// identLines let the proxies' certificate in as any of the roles: one line each, since PostgreSQL 15
// has no other way to say it.
func identLines() []string {
	lines := []string{"bench broker bench"}
	for _, name := range roleNames() {
		lines = append(lines, "bench broker "+name)
	}
	return lines
}

// writeUsers writes whom PgBouncer knows.
func (w *world) writeUsers() error {
	var b strings.Builder
	for _, name := range append(roleNames(), "bench") {
		fmt.Fprintf(&b, "%q \"\"\n", name)
	}
	return os.WriteFile(w.file("users.txt"), []byte(b.String()), 0o644)
}
