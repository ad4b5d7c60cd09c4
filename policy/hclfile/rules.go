package hclfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/pgsignet/pgsignet/policy"
)

// attributes is a schema of attributes, none required, and blocks without labels.
func attributes(names []string, blocks ...string) *hcl.BodySchema {
	s := &hcl.BodySchema{}
	for _, n := range names {
		s.Attributes = append(s.Attributes, hcl.AttributeSchema{Name: n})
	}
	for _, b := range blocks {
		s.Blocks = append(s.Blocks, hcl.BlockHeaderSchema{Type: b})
	}
	return s
}

// The schemas of the blocks, as reference/pgsignet.hcl shows them.
var (
	mapSchema = attributes([]string{"role", "roles", "databases", "listeners", "from", "when", "assume",
		"pool_mode", "audit", "admin", "replication", "fingerprint_only"}, "match", "limits", "session")
	denySchema    = attributes([]string{"databases", "listeners", "from", "when", "reason"}, "match")
	limitsSchema  = attributes([]string{"sessions", "map_sessions", "pool"})
	sessionSchema = attributes([]string{"read_only", "statement_timeout", "idle_timeout", "max_duration", "settings", "stamp"})
	matchSchema   = attributes(matchNames())
)

func matchNames() []string {
	var names []string
	for _, f := range policy.Fields() {
		names = append(names, f.String())
	}
	return names
}

// open reads a block's attributes and the blocks inside it.
func (d *decoder) open(b *hcl.Block, schema *hcl.BodySchema, prefix string, seen map[string]hcl.Range) (attrs, map[string]*hcl.Block) {
	content, diags := b.Body.Content(schema)
	d.diags = append(d.diags, listNames(diags, b.Type, schema)...)
	inner := map[string]*hcl.Block{}
	for _, in := range content.Blocks {
		if first := inner[in.Type]; first != nil {
			d.errorf(in.DefRange, "Duplicate block", "There is another %s at line %d. Write them as one.", in.Type, first.DefRange.Start.Line)
			continue
		}
		inner[in.Type] = in
		seen[in.Type] = in.DefRange
	}
	return attrs{d: d, all: content.Attributes, places: seen, prefix: prefix}, inner
}

// listNames tells which attributes a block has where HCL found none to suggest.
func listNames(diags hcl.Diagnostics, block string, schema *hcl.BodySchema) hcl.Diagnostics {
	var names []string
	for _, a := range schema.Attributes {
		names = append(names, a.Name)
	}
	for _, diag := range diags {
		if diag.Summary == "Unsupported argument" && !strings.Contains(diag.Detail, "Did you mean") {
			diag.Detail += fmt.Sprintf(" The attributes of %s are %s.", block, strings.Join(names, ", "))
		}
	}
	return diags
}

// begin reads what maps and denies share.
func (d *decoder) begin(b *hcl.Block, kind policy.Kind, schema *hcl.BodySchema) (policy.Rule, places, attrs, map[string]*hcl.Block) {
	p := places{block: b.DefRange, attrs: map[string]hcl.Range{}}
	a, inner := d.open(b, schema, "", p.attrs)
	r := policy.Rule{
		Kind: kind, Name: b.Labels[0], File: b.DefRange.Filename, Line: b.DefRange.Start.Line,
		From: a.prefixes("from"), Listeners: a.list("listeners", false), Databases: a.list("databases", false),
	}
	if in := inner["match"]; in != nil {
		r.Match = d.match(in, p.attrs)
	}
	return r, p, a, inner
}

func (d *decoder) mapBlock(b *hcl.Block) {
	r, p, a, inner := d.begin(b, policy.Map, mapSchema)
	r.Role, r.Roles, r.Assume = a.text("role"), a.list("roles", false), a.flag("assume")
	r.PoolMode, r.Audit, r.Admin = a.text("pool_mode"), a.text("audit"), a.text("admin")
	r.Replication, r.FingerprintOnly = a.flag("replication"), a.flag("fingerprint_only")
	if in := inner["limits"]; in != nil {
		l, _ := d.open(in, limitsSchema, "limits.", p.attrs)
		r.Limits = policy.Limits{Sessions: l.count("sessions"), MapSessions: l.count("map_sessions"), Pool: l.count("pool")}
	}
	if in := inner["session"]; in != nil {
		r.Session, r.Reads = d.session(in, p.attrs)
	}
	d.when(a, &r)
	d.add(r, p)
}

func (d *decoder) denyBlock(b *hcl.Block) {
	r, p, a, _ := d.begin(b, policy.Deny, denySchema)
	r.Reason = a.text("reason")
	d.when(a, &r)
	d.add(r, p)
}

// session reads a `session` block, and which extensions its settings read. They stay
// expressions.
func (d *decoder) session(b *hcl.Block, seen map[string]hcl.Range) (policy.SessionRule, []string) {
	a, _ := d.open(b, sessionSchema, "session.", seen)
	s := policy.SessionRule{
		ReadOnly:         a.flag("read_only"),
		StatementTimeout: a.duration("statement_timeout"),
		IdleTimeout:      a.duration("idle_timeout"),
		MaxDuration:      a.duration("max_duration"),
		Stamp:            a.list("stamp", false),
	}
	s.StampSet = s.Stamp != nil
	var oids []string
	if attr := a.find("settings"); attr != nil {
		s.Settings = d.settings(attr, seen)
		oids = d.extensionsRead(attr.Expr)
	}
	return s, oids
}

// match reads a `match` block, its attributes in the order written.
func (d *decoder) match(b *hcl.Block, seen map[string]hcl.Range) []policy.Condition {
	a, _ := d.open(b, matchSchema, "match.", seen)
	var out []policy.Condition
	for _, f := range byPlace(a.all) {
		switch {
		case a.find(f.String()) == nil:
		case f == policy.FieldExtension:
			out = append(out, d.extensions(a.all[f.String()])...)
		default:
			out = append(out, policy.Condition{Field: f, Values: a.list(f.String(), true)})
		}
	}
	return out
}

// byPlace lists the fields that a match block names, in the order written.
func byPlace(all hcl.Attributes) []policy.Field {
	var fields []policy.Field
	for _, f := range policy.Fields() {
		if all[f.String()] != nil {
			fields = append(fields, f)
		}
	}
	slices.SortFunc(fields, func(f, g policy.Field) int {
		return cmp.Compare(all[f.String()].NameRange.Start.Byte, all[g.String()].NameRange.Start.Byte)
	})
	return fields
}

// extensions reads `extension = { "1.2.3" = "value" }`: every entry is a condition of its own.
func (d *decoder) extensions(attr *hcl.Attribute) []policy.Condition {
	var out []policy.Condition
	for _, p := range d.pairs(attr, `{ "1.3.6.1.4.1.55555.1.1" = "payments" }`) {
		out = append(out, policy.Condition{Field: policy.FieldExtension, OID: p.name, Values: d.list("extension", p.value, true)})
	}
	return out
}

// pair is one entry of an object.
type pair struct {
	name  string
	value hcl.Expression
	at    hcl.Range
}

// pairs reads an object with constant names, in the order written.
func (d *decoder) pairs(attr *hcl.Attribute, example string) []pair {
	list, diags := hcl.ExprMap(attr.Expr)
	if diags.HasErrors() {
		d.errorf(attr.Expr.Range(), "Wrong type", "%s takes names and values: %s = %s.", attr.Name, attr.Name, example)
		return nil
	}
	var out []pair
	seen := map[string]bool{}
	for _, kv := range list {
		name := d.text(attr.Name, kv.Key)
		if seen[name] {
			d.errorf(kv.Key.Range(), "Duplicate name", "%q is there twice.", name)
		}
		seen[name] = true
		out = append(out, pair{name, kv.Value, hcl.RangeBetween(kv.Key.Range(), kv.Value.Range())})
	}
	return out
}
