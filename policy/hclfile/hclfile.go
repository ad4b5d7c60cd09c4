// Package hclfile reads rules written in HCL: the blocks map, deny and test become plain
// values of package policy.
//
// It does not decide logins and does not read files; listeners, upstreams and the rest of a
// configuration are not its business.
package hclfile

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Test is a `test` block.
type Test = policy.Test

// RuleSet is what a configuration's rule blocks hold.
type RuleSet struct {
	Rules []policy.Rule // maps and denies, in file order
	Tests []Test

	places []places // by rule
	broken bool     // there were errors
}

// places is where a rule and its attributes are written.
type places struct {
	block  hcl.Range
	attrs  map[string]hcl.Range // by policy.Finding's Attr
	broken bool                 // the block had errors
}

// Schema describes the blocks that Decode reads, for a caller that decodes others beside them.
func Schema() *hcl.BodySchema {
	return &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
		{Type: "map", LabelNames: []string{"name"}},
		{Type: "deny", LabelNames: []string{"name"}},
		{Type: "test", LabelNames: []string{"name"}},
	}}
}

// Decode reads a body that holds only the blocks of Schema: a whole file, several merged, or
// what remains when a caller has taken out its own. files gives the text of each file by name,
// as hclparse.Parser.Files does; without it, text that HCL normalises cannot be told apart.
//
// The RuleSet is never nil; after errors it holds what could be read.
func Decode(body hcl.Body, files map[string]*hcl.File) (*RuleSet, hcl.Diagnostics) {
	content, diags := body.Content(Schema())
	set, more := DecodeBlocks(content.Blocks, files)
	set.broken = set.broken || diags.HasErrors()
	return set, explainEscapes(append(diags, more...))
}

// DecodeBlocks is Decode for blocks that the caller has already found.
func DecodeBlocks(blocks hcl.Blocks, files map[string]*hcl.File) (*RuleSet, hcl.Diagnostics) {
	functions := Functions()
	d := &decoder{
		files: files, functions: functions, set: &RuleSet{}, names: map[nameKey]hcl.Range{},
		types:   policy.VarTypes(),
		unknown: &hcl.EvalContext{Variables: policy.UnknownVars(), Functions: functions},
	}
	for _, b := range blocks {
		d.block(b)
	}
	return d.set, d.diags
}

// decoder reads blocks and collects everything that is wrong with them.
type decoder struct {
	files     map[string]*hcl.File
	functions map[string]function.Function
	types     map[string]cty.Type // of cert, request and now
	unknown   *hcl.EvalContext    // with unknown values of them
	set       *RuleSet
	diags     hcl.Diagnostics
	names     map[nameKey]hcl.Range
}

// nameKey is a block's name among those of its kind.
type nameKey struct{ kind, name string }

// block reads one block of Schema.
func (d *decoder) block(b *hcl.Block) {
	before, rules := len(d.diags), len(d.set.places)
	d.unique(b)
	switch b.Type {
	case "map":
		d.mapBlock(b)
	case "deny":
		d.denyBlock(b)
	case "test":
		d.testBlock(b)
	}
	if d.diags[before:].HasErrors() {
		d.set.broken = true
		for i := range d.set.places[rules:] {
			d.set.places[rules+i].broken = true
		}
	}
}

// unique reports a second block of the same kind and name.
func (d *decoder) unique(b *hcl.Block) {
	key := nameKey{b.Type, b.Labels[0]}
	first, twice := d.names[key]
	if twice {
		d.errorf(b.DefRange, "Duplicate name", "There is another %s %q at %s:%d. Audit, metrics and explain know rules by name: choose another.",
			b.Type, key.name, first.Filename, first.Start.Line)
		return
	}
	d.names[key] = b.DefRange
}

// add files a rule with the places of its attributes.
func (d *decoder) add(r policy.Rule, p places) {
	d.set.Rules = append(d.set.Rules, r)
	d.set.places = append(d.set.places, p)
}
