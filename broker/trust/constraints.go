package trust

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Name constraints (RFC 5280, 4.2.1.10): crypto/x509 evaluates DNS, IP, email and URI bases. Here
// are the others: directoryName in full, all other types refused as soon as such a name occurs
// below (T44), and what x509 lets through but must not (T45).

// subtrees are the bases of one certificate's name constraints.
type subtrees struct{ permitted, excluded []base }

// base is the root of one subtree. What comparison needs of a directoryName is worked out once: a
// hostile CA may write thousands of them.
type base struct {
	generalName
	sets   []cryptobyte.String // a directoryName's RDNs
	folded [][]string          // and what they fold to
}

// parseConstraints reads the extension; ok is false when it has a form that is not evaluated.
func parseConstraints(value []byte) (t subtrees, ok bool) {
	s := cryptobyte.String(value)
	var seq, permitted, excluded cryptobyte.String
	if !s.ReadASN1(&seq, der.SEQUENCE) || !s.Empty() ||
		!seq.ReadOptionalASN1(&permitted, nil, der.Tag(0).ContextSpecific().Constructed()) ||
		!seq.ReadOptionalASN1(&excluded, nil, der.Tag(1).ContextSpecific().Constructed()) || !seq.Empty() {
		return t, false
	}
	var okP, okE bool
	t.permitted, okP = parseBases(permitted)
	t.excluded, okE = parseBases(excluded)
	return t, okP && okE
}

// parseBases reads GeneralSubtrees. A minimum or maximum is not evaluated: it must be absent.
func parseBases(s cryptobyte.String) (bases []base, ok bool) {
	for !s.Empty() {
		var seq, value cryptobyte.String
		var b base
		if !s.ReadASN1(&seq, der.SEQUENCE) || !seq.ReadAnyASN1(&value, &b.tag) || !seq.Empty() {
			return nil, false
		}
		if b.value = value; b.tag == tagDirectory {
			if b.sets, ok = rdns(value); !ok {
				return nil, false
			}
			b.folded = foldName(b.sets)
		}
		bases = append(bases, b)
	}
	return bases, true
}

// checkConstraints evaluates the constraints of chain[i] against every certificate below it. It
// returns what violates them, or "". Self-issued certificates are not exempt (T45).
func checkConstraints(chain []*x509.Certificate, i int) string {
	value, _, ok := extension(chain[i], oidNameConstraints)
	if !ok {
		return ""
	}
	t, ok := parseConstraints(value)
	if !ok {
		return "its name constraints have a form that is not evaluated"
	}
	for _, b := range slices.Concat(t.permitted, t.excluded) {
		if b.tag == tagDNS && bytes.HasPrefix(b.value, []byte(".")) {
			return "it constrains DNS names with a leading dot"
		}
	}
	for _, below := range chain[:i] {
		if s := t.violation(below); s != "" {
			return s
		}
	}
	return ""
}

// violation returns the name of c that the constraints do not allow, or "".
func (t subtrees) violation(c *x509.Certificate) string {
	names, err := generalNames(extensionValue(c, oidSubjectAltName))
	if err != nil {
		return "a name below it cannot be read"
	}
	if !emptyName(c.RawSubject) {
		names = append(names, generalName{tag: tagDirectory, value: c.RawSubject})
	}
	for _, n := range names {
		switch n.tag {
		case tagDNS, tagEmail, tagURI, tagIP: // x509's
		case tagDirectory:
			if s := t.directoryViolation(n.value); s != "" {
				return s
			}
		default:
			sameType := func(b base) bool { return b.tag == n.tag }
			if slices.ContainsFunc(t.permitted, sameType) || slices.ContainsFunc(t.excluded, sameType) {
				return fmt.Sprintf("it constrains names of type [%d], and such a name occurs below", n.tag&0x1f)
			}
		}
	}
	return ""
}

// directoryViolation evaluates directoryName bases against one Name: permitted needs RDNs that are
// equal byte for byte, excluded also hits after folding case and string type (T44).
func (t subtrees) directoryViolation(name []byte) string {
	sets, ok := rdns(name)
	if !ok {
		return "a directory name below it cannot be read"
	}
	constrained, permitted := false, false
	for _, b := range t.permitted {
		if b.tag == tagDirectory {
			constrained = true
			permitted = permitted || hasPrefix(sets, b.sets, func(x, y cryptobyte.String) bool { return bytes.Equal(x, y) })
		}
	}
	if constrained && !permitted {
		return fmt.Sprintf("the name \"%s\" is not permitted", nameText(name))
	}
	folded := foldName(sets)
	for _, b := range t.excluded {
		if b.tag == tagDirectory && hasPrefix(folded, b.folded, slices.Equal[[]string]) {
			return fmt.Sprintf("the name \"%s\" is excluded", nameText(name))
		}
	}
	return ""
}

// hasPrefix says that name begins with the RDNs of base.
func hasPrefix[T any](name, base []T, equal func(a, b T) bool) bool {
	return len(base) <= len(name) && slices.EqualFunc(name[:len(base)], base, equal)
}

// foldName folds case, space and string type of every RDN, which becomes a sorted set of attributes.
func foldName(sets []cryptobyte.String) [][]string {
	folded := make([][]string, len(sets))
	for i, set := range sets {
		folded[i] = foldRDN(set)
	}
	return folded
}

func foldRDN(set cryptobyte.String) []string {
	var out []string
	for !set.Empty() {
		a, ok := readAttribute(&set)
		if !ok {
			return append(out, "\x00"+string(set))
		}
		out = append(out, string(a.oid)+"\x00"+foldValue(a.tag, a.value))
	}
	slices.Sort(out)
	return out
}

// foldValue turns any ASN.1 string into lower case with single spaces.
func foldValue(tag der.Tag, v []byte) string {
	const universalString, bmpString = der.Tag(28), der.Tag(30)
	var s string
	switch tag {
	case der.T61String: // read as Latin-1, the common use
		runes := make([]rune, len(v))
		for i, b := range v {
			runes[i] = rune(b)
		}
		s = string(runes)
	case bmpString:
		units := make([]uint16, len(v)/2)
		for i := range units {
			units[i] = uint16(v[2*i])<<8 | uint16(v[2*i+1])
		}
		s = string(utf16.Decode(units))
	case universalString:
		for i := 0; i+3 < len(v); i += 4 {
			s += string(rune(uint32(v[i])<<24 | uint32(v[i+1])<<16 | uint32(v[i+2])<<8 | uint32(v[i+3])))
		}
	default:
		s = string(v)
	}
	return strings.Join(strings.Fields(strings.ToLower(s)), " ")
}
