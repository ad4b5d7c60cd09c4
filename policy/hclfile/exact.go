package hclfile

import (
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// exact returns the text of a quoted string as it is written. HCL brings every string to NFC,
// but certificates are compared byte for byte (T13): `josé` spelt in two ways is two names.
// v is HCL's reading, which is right for all but such text.
func (d *decoder) exact(e hcl.Expression, v string) string {
	src := d.source(e, "")
	if len(src) < 2 || src[0] != '"' || src[len(src)-1] != '"' {
		return v
	}
	if raw, ok := unquote(src[1 : len(src)-1]); ok && cty.StringVal(raw).AsString() == v {
		return raw
	}
	return v
}

// source is the text of an expression, or other when the file is not at hand.
func (d *decoder) source(e hcl.Expression, other string) string {
	r := e.Range()
	if f := d.files[r.Filename]; f != nil && r.CanSliceBytes(f.Bytes) {
		return string(r.SliceBytes(f.Bytes))
	}
	return other
}

// simpleEscapes are HCL's escapes of one letter.
var simpleEscapes = map[byte]string{'n': "\n", 'r': "\r", 't': "\t", '"': `"`, '\\': `\`}

// unquote undoes the escapes of an HCL string without interpolation.
func unquote(s string) (string, bool) {
	var b strings.Builder
	for len(s) > 0 {
		switch {
		case strings.HasPrefix(s, "$${"), strings.HasPrefix(s, "%%{"):
			b.WriteString(s[1:3])
			s = s[3:]
		case s[0] != '\\':
			b.WriteByte(s[0])
			s = s[1:]
		default:
			text, rest, ok := unescape(s[1:])
			if !ok {
				return "", false
			}
			b.WriteString(text)
			s = rest
		}
	}
	return b.String(), true
}

// unescape reads what follows a backslash.
func unescape(s string) (text, rest string, ok bool) {
	if s == "" {
		return "", "", false
	}
	if text, ok := simpleEscapes[s[0]]; ok {
		return text, s[1:], true
	}
	digits := map[byte]int{'u': 4, 'U': 8}[s[0]]
	if digits == 0 || len(s) < 1+digits {
		return "", "", false
	}
	n, err := strconv.ParseUint(s[1:1+digits], 16, 32)
	return string(rune(n)), s[1+digits:], err == nil
}
