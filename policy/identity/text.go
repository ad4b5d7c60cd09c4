package identity

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// stringValue returns the text of an identity attribute, or says why it is none (T16). It takes the
// four types that every reader understands alike. PostgreSQL reads the raw bytes of a BMPString, so
// that bytes spelling "aliceX" are "aliceX" there and Chinese in Go.
func stringValue(tag cbasn1.Tag, value []byte) (string, error) {
	allowed := func(byte) bool { return true }
	switch tag {
	case cbasn1.UTF8String:
	case cbasn1.PrintableString:
		allowed = printable
	case cbasn1.IA5String:
		allowed = func(c byte) bool { return c < utf8.RuneSelf }
	case tagNumericString:
		allowed = func(c byte) bool { return c == ' ' || '0' <= c && c <= '9' }
	default:
		return "", fmt.Errorf("%s where a plain string is expected", tagName(tag))
	}
	for _, c := range value {
		if !allowed(c) {
			return "", fmt.Errorf("byte 0x%02x in a %s", c, tagName(tag))
		}
	}
	return string(value), checkText(value)
}

// printable reports what crypto/x509 takes in a PrintableString: X.680's set, "*" and "&".
func printable(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '\'' <= c && c <= ')' || '+' <= c && c <= '/' ||
		'0' <= c && c <= '9' || c == ' ' || c == ':' || c == '=' || c == '?' || c == '*' || c == '&'
}

// CheckText says why no certificate with that text in an attribute has an identity, or nil (T16).
func CheckText(text string) error { return checkText([]byte(text)) }

// checkText refuses text that is no UTF-8 or that holds characters that cannot be seen or that
// change how others are seen (T16).
func checkText(text []byte) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("invalid UTF-8")
	}
	for _, r := range string(text) {
		if kind := illegalRune(r); kind != "" {
			return fmt.Errorf("%s U+%04X", kind, r)
		}
	}
	return nil
}

func illegalRune(r rune) string {
	switch {
	case r < ' ', 0x7f <= r && r <= 0x9f:
		return "control character"
	case r < 0x7f:
		return ""
	case r == 0x2028, r == 0x2029:
		return "line separator"
	case r == 0x061c, 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
		return "bidirectional control"
	case unicode.In(r, invisible...):
		return "invisible character"
	}
	return ""
}

// invisible is what Unicode calls format characters (Cf: the soft hyphen, zero width, tags, annotations) and
// what else it lets a program show as nothing (Default_Ignorable_Code_Point in DerivedCoreProperties.txt:
// fillers, variation selectors). Two names that differ by one of them look the same to whoever reads a rule
// or the record.
var invisible = []*unicode.RangeTable{unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector}

// tagName names an ASN.1 type for people.
func tagName(tag cbasn1.Tag) string {
	switch tag {
	case cbasn1.BOOLEAN:
		return "BOOLEAN"
	case cbasn1.INTEGER:
		return "INTEGER"
	case cbasn1.BIT_STRING:
		return "BIT STRING"
	case cbasn1.OCTET_STRING:
		return "OCTET STRING"
	case cbasn1.SEQUENCE:
		return "SEQUENCE"
	case cbasn1.UTF8String:
		return "UTF8String"
	case cbasn1.PrintableString:
		return "PrintableString"
	case cbasn1.IA5String:
		return "IA5String"
	case cbasn1.T61String:
		return "T61String"
	case tagNumericString:
		return "NumericString"
	case tagVisibleString:
		return "VisibleString"
	case tagBMPString:
		return "BMPString"
	case tagUniversalString:
		return "UniversalString"
	}
	return fmt.Sprintf("ASN.1 type with tag 0x%02x", uint8(tag))
}
