package hclfile

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/pgsignet/pgsignet/policy"
)

// Diagnostics puts the findings of policy.Check about s.Rules in their place in the files. What
// may only follow from an error of Decode is left out.
func (s *RuleSet) Diagnostics(findings []policy.Finding) hcl.Diagnostics {
	var out hcl.Diagnostics
	for _, f := range findings {
		if f.Missing && s.places[f.Index].broken || f.Relative && s.broken {
			continue
		}
		severity := hcl.DiagError
		if f.Severity == policy.Warning {
			severity = hcl.DiagWarning
		}
		out = out.Append(&hcl.Diagnostic{Severity: severity, Summary: f.Summary, Detail: f.Detail, Subject: s.place(f).Ptr()})
	}
	return out
}

// place is where a finding belongs: the attribute, the block around it, or the rule's first line.
func (s *RuleSet) place(f policy.Finding) hcl.Range {
	p := s.places[f.Index]
	for attr := f.Attr; attr != ""; {
		if r, ok := p.attrs[attr]; ok {
			return r
		}
		attr = attr[:max(0, strings.LastIndexByte(attr, '.'))]
	}
	return p.block
}

// explainEscapes tells what to write where HCL only says that an escape is not one of its own.
func explainEscapes(diags hcl.Diagnostics) hcl.Diagnostics {
	for i, diag := range diags {
		if diag.Summary == "Invalid escape sequence" && !strings.HasSuffix(diag.Detail, escapeHint) {
			clone := *diag
			clone.Detail += escapeHint
			diags[i] = &clone
		}
	}
	return diags
}

// ExplainEscapes adds what to write to HCL's "Invalid escape sequence", which its parser reports
// before Decode sees the file.
func ExplainEscapes(diags hcl.Diagnostics) hcl.Diagnostics { return explainEscapes(diags) }

// escapeHint follows HCL's own text.
const escapeHint = ` In a string, write a backslash twice: "\\1" is a capture ("$1" is the same), "\\." is a dot ("[.]" is the same).`
