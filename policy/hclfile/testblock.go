package hclfile

import (
	"net/netip"
	"path/filepath"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
	"github.com/zclconf/go-cty/cty"
)

var testSchema = attributes([]string{"cert", "cert_file", "user", "database", "listener", "from", "at",
	"application_name", "replication", "expect"})

// testBlock reads a `test` block.
func (d *decoder) testBlock(b *hcl.Block) {
	seen := map[string]hcl.Range{}
	a, _ := d.open(b, testSchema, "", seen)
	t := Test{
		Name: b.Labels[0], File: b.DefRange.Filename, Line: b.DefRange.Start.Line,
		User: a.text("user"), Database: a.text("database"), Listener: a.text("listener"),
		ApplicationName: a.text("application_name"), Replication: a.flag("replication"),
		From: a.address("from"), At: a.time("at"),
	}
	t.CertFile = d.certFile(a, b)
	if attr := a.find("cert"); attr != nil {
		t.Cert = d.cert(attr)
	}
	if (t.Cert == nil) == (t.CertFile == "") && len(a.all) > 0 {
		d.errorf(b.DefRange, "No certificate", "A test needs either cert, with the fields of a certificate, or cert_file.")
	}
	if attr := a.find("expect"); attr != nil {
		t.Expect = d.expect(attr)
	} else {
		d.errorf(b.DefRange, "Nothing expected", "A test needs expect: { allow = true, map = \"...\", role = \"...\" } or { allow = false }.")
	}
	d.set.Tests = append(d.set.Tests, t)
}

// certFile is the path of a test's certificate, relative to the file that names it.
func (d *decoder) certFile(a attrs, b *hcl.Block) string {
	name := a.text("cert_file")
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(b.DefRange.Filename), name)
}

// address reads an IP address.
func (a attrs) address(name string) netip.Addr {
	s := a.text(name)
	if s == "" {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		a.d.errorf(a.places[a.prefix+name], "Bad address", "%q is not an IP address.", s)
	}
	return addr
}

// time reads a time as RFC 3339 writes it.
func (a attrs) time(name string) time.Time {
	s := a.text(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		a.d.errorf(a.places[a.prefix+name], "Bad time", `%q is not a time such as "2026-11-23T10:00:00Z".`, s)
	}
	return t
}

// expect reads what a test expects.
func (d *decoder) expect(attr *hcl.Attribute) policy.Expect {
	var e policy.Expect
	allow := false
	for _, p := range d.pairs(attr, "{ allow = true, map = \"staff\" }") {
		switch p.name {
		case "allow":
			v, ok := d.constant("allow", p.value, cty.Bool)
			e.Allow, allow = ok && v.True(), true
		case "map":
			e.Map = d.text("map", p.value)
		case "role":
			e.Role = d.text("role", p.value)
		default:
			d.errorf(p.value.Range(), "Unsupported argument", "expect has allow, map and role, not %q.", p.name)
		}
	}
	switch {
	case !allow:
		d.errorf(attr.Expr.Range(), "Nothing expected", "expect needs allow = true or allow = false.")
	case !e.Allow && (e.Map != "" || e.Role != ""):
		d.errorf(attr.Expr.Range(), "A refusal has no map", "With allow = false there is no map and no role to expect.")
	}
	return e
}

// cert reads the fields of a test's certificate, as they are after extraction.
func (d *decoder) cert(attr *hcl.Attribute) *identity.Identity {
	id := &identity.Identity{}
	for _, p := range d.pairs(attr, `{ cn = "alice" }`) {
		d.certField(id, p)
	}
	if len(id.CNs) == 1 {
		id.CN = id.CNs[0]
	}
	if id.SPIFFE != "" && len(id.URI) == 0 {
		id.URI = []string{id.SPIFFE}
	}
	id.Ambiguous = len(id.CNs) > 1
	if id.SPIFFE != "" && (len(id.URI) != 1 || id.URI[0] != id.SPIFFE) {
		d.errorf(attr.Expr.Range(), "No such certificate", "A certificate with a SPIFFE ID has no other URI.")
	}
	return id
}

// certField reads one field.
func (d *decoder) certField(id *identity.Identity, p pair) {
	if list := listField(id, p.name); list != nil {
		*list = d.list(p.name, p.value, true)
		return
	}
	if one := textField(id, p.name); one != nil {
		*one = d.text(p.name, p.value)
		return
	}
	switch p.name {
	case "ip":
		d.certAddresses(id, p)
	case "extension":
		d.certExtensions(id, p)
	default:
		d.errorf(p.value.Range(), "Unsupported argument", "A certificate has no field %q here; these are those of match.", p.name)
	}
}

// listField is where a field with several values goes.
func listField(id *identity.Identity, name string) *[]string {
	return map[string]*[]string{"cn": &id.CNs, "o": &id.O, "ou": &id.OU, "email": &id.Email, "dns": &id.DNS,
		"uri": &id.URI, "anchor": &id.Anchors}[name]
}

// textField is where a field with one value goes.
func textField(id *identity.Identity, name string) *string {
	return map[string]*string{"dn": &id.DN, "spiffe": &id.SPIFFE, "issuer": &id.Issuer, "serial": &id.Serial,
		"sha256": &id.SHA256, "spki_sha256": &id.SPKISHA256}[name]
}

func (d *decoder) certAddresses(id *identity.Identity, p pair) {
	for _, s := range d.list(p.name, p.value, true) {
		a, err := netip.ParseAddr(s)
		if err != nil {
			d.errorf(p.value.Range(), "Bad address", "%q is not an IP address.", s)
			continue
		}
		id.IP = append(id.IP, a)
	}
}

func (d *decoder) certExtensions(id *identity.Identity, p pair) {
	id.Extension = map[string]string{}
	attr := &hcl.Attribute{Name: p.name, Expr: p.value}
	for _, x := range d.pairs(attr, `{ "1.3.6.1.4.1.55555.1.1" = "payments" }`) {
		id.Extension[x.name] = d.text(x.name, x.value)
	}
}
