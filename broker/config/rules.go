package config

import (
	"errors"

	"github.com/hashicorp/hcl/v2"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/hclfile"
)

// rules decodes map, deny and test blocks.
func (d *decoder) rules(blocks hcl.Blocks, cfg *Config) {
	set, diags := hclfile.DecodeBlocks(blocks, d.sources)
	d.diags = append(d.diags, diags...)
	d.ruleSet = set
	cfg.Rules, cfg.Tests = set.Rules, set.Tests
	for _, b := range blocks {
		if b.Type == "test" {
			d.testCertificate(b)
		}
	}
}

// testCertificate checks that the file a test names holds a certificate.
func (d *decoder) testCertificate(b *hcl.Block) {
	attrs, _ := b.Body.JustAttributes() // what else is wrong with it was reported
	d.certificates(d.file(attrs["cert_file"]))
}

// Policy is the rules, compiled by Load. It never changes and is safe for concurrent use.
func (c *Config) Policy() *policy.Policy { return c.policy }

// policyConfig is what policy.Compile needs.
func (c *Config) policyConfig() policy.Config {
	pc := policy.Config{Rules: c.Rules, AdminDatabases: []string{"pgbouncer"}}
	if name := c.Admin.Database; name != "pgbouncer" {
		pc.AdminDatabases = append(pc.AdminDatabases, name)
	}
	for _, db := range c.Databases {
		pc.Databases = append(pc.Databases, policy.Database{Name: db.Name, Upstream: db.Upstream, DBName: db.DBName})
	}
	for _, l := range c.Listeners {
		pc.Listeners = append(pc.Listeners, policy.Listener{Name: l.Name, Admin: l.Admin})
	}
	return pc
}

// lintRules reports what the policy's own check finds, and what rules and the rest say together.
func (d *decoder) lintRules(r *root, cfg *Config) {
	l := &ruleLint{cfg: cfg}
	for i := range r.Listeners {
		n := distinctKeys(r.Listeners[i].trusted)
		if s := cfg.Listeners[i].SPIFFE; s != nil && s.WorkloadAPI != "" {
			n++ // whatever arrives from there
		}
		l.anchors = append(l.anchors, n)
	}
	l.byRole = l.takers()
	l.findings = compile(cfg)
	for i := range cfg.Rules {
		if cfg.Rules[i].Kind == policy.Map {
			l.check(i, &cfg.Rules[i])
		}
	}
	d.diags = append(d.diags, d.ruleSet.Diagnostics(l.findings)...)
}

// compile sets cfg.policy and returns the errors and warnings about it.
func compile(cfg *Config) []policy.Finding {
	p, err := policy.Compile(cfg.policyConfig())
	if failed, ok := errors.AsType[*policy.CompileError](err); ok {
		return failed.Findings
	}
	cfg.policy = p
	return p.Warnings()
}

// distinctKeys counts CAs: a renewed certificate with the same key is the same CA.
func distinctKeys(list []placed) int {
	keys := map[string]bool{}
	for _, p := range list {
		keys[string(p.cert.RawSubjectPublicKeyInfo)] = true
	}
	return len(keys)
}
