package identity

import (
	_ "embed"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// opensslNames lists the object identifiers OpenSSL 3.0 knows, with its short names: "OID name" per line.
//
//go:embed openssl_names.txt
var opensslNames string

// shortNames maps a dotted OID to OpenSSL's short name. It is built at first use and never changed.
var shortNames = sync.OnceValue(func() map[string]string {
	names := make(map[string]string, 1200)
	for line := range strings.Lines(opensslNames) {
		oid, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		names[oid] = name
	}
	return names
})

// maxTypeText is the longest dotted OID that OpenSSL prints whole in a name, in bytes: its buffer
// is char[80]. A longer one is cut there, which would make two names look alike, so it is refused here.
const maxTypeText = 79

// FormatDN returns a DER name byte for byte as OpenSSL prints it under XN_FLAG_RFC2253, and so as
// PostgreSQL compares it under clientname=DN and logs it (T20): attributes in reverse, joined by ","
// and, inside an RDN, "+"; short names; values of unknown types as "#" and the upper-case hex of
// their DER; text as UTF-8 with each byte that is a control or ≥ 0x80 as \XX.
//
// It fails on a malformed name, on a value that is no string or not of its type, and on an attribute
// type of more than 79 characters. An empty name is "".
func FormatDN(raw []byte) (string, error) {
	rdns, err := ParseName(raw)
	if err != nil {
		return "", err
	}
	out := make([]byte, 0, 2*len(raw))
	for i := len(rdns) - 1; i >= 0; i-- {
		attrs := rdns[i].Attributes
		for j := len(attrs) - 1; j >= 0; j-- {
			switch {
			case j < len(attrs)-1:
				out = append(out, '+')
			case i < len(rdns)-1:
				out = append(out, ',')
			}
			if out, err = appendAttribute(out, attrs[j]); err != nil {
				return "", err
			}
		}
	}
	return string(out), nil
}

func appendAttribute(out []byte, a Attribute) ([]byte, error) {
	text, err := utf8Value(a)
	if err != nil {
		return nil, err
	}
	typ := a.Type.String()
	if name, known := shortNames()[typ]; known {
		return appendEscaped(append(append(out, name...), '='), text), nil
	}
	if len(typ) > maxTypeText {
		return nil, fmt.Errorf("attribute type of %d characters", len(typ))
	}
	out = append(append(out, typ...), "=#"...)
	return append(out, strings.ToUpper(hex.EncodeToString(a.DER))...), nil
}

// typeName is the attribute's type as FormatDN prints it.
func typeName(typ asn1.ObjectIdentifier) string {
	dotted := typ.String()
	if name, ok := shortNames()[dotted]; ok {
		return name
	}
	return dotted
}

// Tags of string types that cryptobyte/asn1 does not name.
const (
	tagNumericString   = cbasn1.Tag(18)
	tagVisibleString   = cbasn1.Tag(26)
	tagUniversalString = cbasn1.Tag(28)
	tagBMPString       = cbasn1.Tag(30)
)

// utf8Value converts a value to UTF-8 as OpenSSL does: the one-byte types are read as Latin-1,
// whatever their standards say. It fails on what is no string; Go parses no name with such a value.
func utf8Value(a Attribute) ([]byte, error) {
	switch a.Tag {
	case cbasn1.UTF8String:
		if !utf8.Valid(a.Value) {
			return nil, errors.New("UTF8String that is not UTF-8")
		}
		return a.Value, nil
	case cbasn1.PrintableString, cbasn1.IA5String, cbasn1.T61String, tagNumericString:
		return widen(a.Value, 1)
	case tagBMPString:
		return widen(a.Value, 2)
	case tagUniversalString:
		return widen(a.Value, 4)
	}
	return nil, fmt.Errorf("%s where a string is expected", tagName(a.Tag))
}

// widen reads big-endian characters of that many bytes and returns them in UTF-8. Like OpenSSL it
// fails on surrogates and beyond U+10FFFF.
func widen(value []byte, width int) ([]byte, error) {
	if len(value)%width != 0 {
		return nil, fmt.Errorf("string of %d bytes with %d per character", len(value), width)
	}
	text := make([]byte, 0, len(value))
	for ; len(value) > 0; value = value[width:] {
		var c uint32
		for _, b := range value[:width] {
			c = c<<8 | uint32(b)
		}
		if c > utf8.MaxRune || !utf8.ValidRune(rune(c)) {
			return nil, fmt.Errorf("string with the character %#x", c)
		}
		text = utf8.AppendRune(text, rune(c))
	}
	return text, nil
}

// appendEscaped escapes text by RFC 2253 as OpenSSL understands it: a "#" that is the whole value
// stays as it is, since OpenSSL looks at a sole character as at a last one.
func appendEscaped(out, text []byte) []byte {
	for i, c := range text {
		first, last := i == 0, i == len(text)-1
		switch {
		case strings.IndexByte(`,+"\<>;`, c) >= 0, c == ' ' && (first || last), c == '#' && first && !last:
			out = append(out, '\\', c)
		case c < ' ' || c >= 0x7f:
			out = append(out, '\\', upperHex[c>>4], upperHex[c&15])
		default:
			out = append(out, c)
		}
	}
	return out
}

const upperHex = "0123456789ABCDEF"
