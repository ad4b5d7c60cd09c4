package config

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/pgsignet/pgsignet/policy/hclfile"
)

// Parse is HCL's own parser for one file, behind what it must be spared: text that is none, for which
// it has an error a byte, and what its stack has no room for. The file is nil for these two.
func Parse(src []byte, name string) (*hcl.File, hcl.Diagnostics) {
	if at := notText(src, name); at != nil {
		return nil, diagnose(*at, "Not a text file", "A configuration is text in UTF-8, and byte %d of this file is none. Save it in that encoding, or leave the file out.", at.Start.Byte+1)
	}
	if at := tooDeep(src, name); at != nil {
		return nil, diagnose(*at, "Nested too deep", "Up to %d brackets may stand inside each other, and an expression may have up to %d operators.", maxDepth, maxOperators)
	}
	f, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	return f, hclfile.ExplainEscapes(diags)
}

func diagnose(at hcl.Range, summary, format string, args ...any) hcl.Diagnostics {
	return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: &at}}
}

// notText finds the first byte that is not UTF-8, or is NUL as in UTF-16; nil when there is none.
func notText(src []byte, name string) *hcl.Range {
	at := bytes.IndexByte(src, 0)
	if at < 0 && utf8.Valid(src) {
		return nil
	}
	if at < 0 {
		at = len(src)
	}
	for i := 0; i < at; {
		r, size := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && size == 1 {
			at = i
			break
		}
		i += size
	}
	line := 1 + bytes.Count(src[:at], []byte("\n"))
	column := 1 + utf8.RuneCount(src[bytes.LastIndexByte(src[:at], '\n')+1:at])
	pos := hcl.Pos{Line: line, Column: column, Byte: at}
	return &hcl.Range{Filename: name, Start: pos, End: hcl.Pos{Line: line, Column: column + 1, Byte: at + 1}}
}
