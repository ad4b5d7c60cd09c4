package config

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/pgsignet/pgsignet/policy"
)

// lint checks what no block can say alone.
func (d *decoder) lint(r *root, cfg *Config) {
	d.lintNames(r)
	d.lintReferences(r, cfg)
	d.lintAddresses(r, cfg)
	d.lintAdmin(r, cfg)
	d.lintApart()
	d.lintRules(r, cfg)
}

// lintNames reports blocks of one kind with the same name.
func (d *decoder) lintNames(r *root) {
	first := map[string]hcl.Range{}
	unique := func(kind, name string, at hcl.Range) {
		key := kind + " " + name
		if was, dup := first[key]; dup {
			d.errorf(at, "Duplicate "+kind, "The name %q is taken by the %s at %s:%d; choose another.", name, kind, was.Filename, was.Start.Line)
			return
		}
		first[key] = at
		if name == "" {
			d.errorf(at, "Empty name", "Every %s needs a name.", kind)
		}
	}
	for _, b := range r.Listeners {
		unique("listener", b.Name, b.DefRange)
	}
	for _, b := range r.Upstreams {
		unique("upstream", b.Name, b.DefRange)
	}
	for _, b := range r.Databases {
		unique("database", b.Name, b.DefRange)
	}
}

// lintReferences reports names of upstreams that are not there, and database names nobody could use.
func (d *decoder) lintReferences(r *root, cfg *Config) {
	var upstreams []string
	for _, u := range cfg.Upstreams {
		upstreams = append(upstreams, u.Name)
	}
	for i, b := range r.Databases {
		db := cfg.Databases[i]
		if db.Upstream != "" && !slices.Contains(upstreams, db.Upstream) {
			d.errorf(b.Upstream.Expr.Range(), "Undefined upstream", "There is no upstream %q.%s", db.Upstream, proposal(db.Upstream, upstreams))
		}
		d.lintDatabaseName(&b, db, cfg.Admin.Database)
	}
	if len(r.Listeners) == 0 {
		d.failf("Missing listener", "Nobody can connect: write a listener block.")
	}
}

// proposal is policy.Suggest, or all there is.
func proposal(got string, known []string) string {
	if s := policy.Suggest(got, known); s != "" {
		return s
	}
	if len(known) == 0 {
		return " None is defined."
	}
	return fmt.Sprintf(" Defined: %s.", strings.Join(known, ", "))
}

// maxName is the longest name PostgreSQL keeps, in bytes: NAMEDATALEN - 1.
const maxName = 63

func (d *decoder) lintDatabaseName(b *databaseBlock, db Database, console string) {
	switch {
	case db.Name == "pgsignet" || db.Name == "pgbouncer" || db.Name == console:
		d.errorf(b.DefRange, "Reserved database name", "%q is the admin console's database and never reaches a server; use another name, with dbname = %q if the server's is so called.", db.Name, db.Name)
	case db.Name == "*" && b.DBName != nil:
		d.errorf(b.DBName.Range, "dbname of \"*\"", "database \"*\" passes every name on as it is; give one name its own database block to rename it.")
	case len(db.Name) > maxName || len(db.DBName) > maxName:
		d.errorf(b.DefRange, "Name too long", "PostgreSQL cuts names at %d bytes.", maxName)
	case strings.ContainsRune(db.Name+db.DBName, 0):
		d.errorf(b.DefRange, "Bad name", "A database name cannot hold a NUL.")
	}
}

// lintAddresses reports listeners that cannot both listen.
func (d *decoder) lintAddresses(r *root, cfg *Config) {
	first := map[string]string{}
	for i, l := range cfg.Listeners {
		for _, where := range []string{l.Address, "socket " + l.Socket} {
			if where == "" || where == "socket " || strings.HasSuffix(where, ":0") {
				continue
			}
			if other, dup := first[where]; dup {
				d.errorf(r.Listeners[i].DefRange, "Address in use", "Listeners %q and %q have the same %s.", other, l.Name, where)
			}
			first[where] = l.Name
		}
		if l.Address != "" && l.Address == cfg.Admin.Address {
			d.errorf(r.Listeners[i].DefRange, "Address in use", "Listener %q has the admin block's address %s.", l.Name, l.Address)
		}
	}
}

// lintAdmin refuses an HTTP endpoint that strangers could read in clear.
func (d *decoder) lintAdmin(r *root, cfg *Config) {
	a := cfg.Admin
	if a.Address == "" || a.CertFile != "" || loopback(a.Address) {
		return
	}
	const summary = "Admin address without TLS"
	detail := fmt.Sprintf("%s is not a loopback address; add cert_file and key_file (and client_ca), or use 127.0.0.1.", a.Address)
	if len(r.Admin) > 0 && r.Admin[0].Address != nil {
		d.errorf(r.Admin[0].Address.Expr.Range(), summary, "%s", detail)
		return
	}
	d.failf(summary, "%s", detail)
}

func loopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return true // reported as no address
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// lintApart keeps the issuing CA, which is every role, apart from all others (T81).
func (d *decoder) lintApart() {
	for _, issuer := range d.issuers {
		if ca, same := findSame(d.clientCAs, issuer); same {
			d.errorf(issuer.file.at, "Client CA as issuer", "The certificate %s in %s is also trusted for clients (%s): a certificate minted for the server would log in here. Use a CA of its own.",
				subject(issuer.cert), issuer.file.path, ca.file.path)
		}
		if ca, same := findSame(d.serverCAs, issuer); same {
			d.warnf(issuer.file.at, "Server CA as issuer", "The certificate %s in %s also signs servers (ca_file %s): a stolen server key could log in as any role. Use a CA of its own.",
				subject(issuer.cert), issuer.file.path, ca.file.path)
		}
		if ca, same := findSame(d.adminCAs, issuer); same {
			d.warnf(issuer.file.at, "Admin CA as issuer", "The certificate %s in %s is also trusted for the admin address (%s). Use a CA of its own.",
				subject(issuer.cert), issuer.file.path, ca.file.path)
		}
	}
}

// findSame finds a certificate with p's content or p's key.
func findSame(list []placed, p placed) (placed, bool) {
	for _, other := range list {
		if bytes.Equal(other.cert.RawSubjectPublicKeyInfo, p.cert.RawSubjectPublicKeyInfo) {
			return other, true
		}
	}
	return placed{}, false
}
