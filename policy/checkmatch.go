package policy

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/pgsignet/pgsignet/policy/identity"
)

// checkMatch reports values that no certificate can have.
func (k *compiler) checkMatch(i int, r *rule) {
	for j := range r.Match {
		c := &r.Match[j]
		attr := "match." + c.Field.String()
		if len(c.Values) == 0 {
			k.fail(i, attr, "Empty list", "Nothing is in an empty list, so the %s never fits. Leave %s out or fill it.", r.Kind, c.Name())
		}
		if c.Field == FieldExtension && !oidText.MatchString(c.OID) {
			k.fail(i, attr, "Bad OID", "%q is not an OID in dotted form, such as 1.3.6.1.4.1.55555.1.1.", c.OID)
		}
		for _, v := range c.Values {
			k.checkValue(i, r, c, v)
		}
	}
	k.checkSerial(i, r)
	k.checkEveryone(i, r)
}

// oidText is an OID in dotted form.
var oidText = regexp.MustCompile(`\A[0-2](?:\.(?:0|[1-9][0-9]{0,38}))+\z`)

// checkValue reports a constant that its field never holds, and an expression that reads as if
// a slash ended it.
func (k *compiler) checkValue(i int, r *rule, c *Condition, v string) {
	attr := "match." + c.Field.String()
	switch {
	case v == "":
		k.missing(i, attr, "Empty value", "A certificate's %s is never empty.", c.Name())
	case isPattern(v) && len(v) > 1 && strings.HasSuffix(v, "/"):
		k.warn(i, attr, "A slash at the end", "The slash that ends %q is part of the expression. Only the one in front is special.", v)
	case isPattern(v) && (c.Field == FieldDN || c.Field == FieldIssuer) && onelineDN.MatchString(v):
		k.warn(i, attr, "An expression, not a DN", "%q starts with a slash, so it is an expression. Write DNs as RFC 2253 does: CN=alice,O=Example.", v)
	case isPattern(v):
		k.checkPlainPattern(i, attr, v)
	default:
		if problem := impossible(c.Field, v); problem != "" {
			k.fail(i, attr, "A value no certificate has", "%q %s.", v, problem)
			return
		}
		k.checkPlausible(i, attr, c.Field, v)
	}
}

// onelineDN is OpenSSL's old form of a DN: /C=DE/CN=alice.
var onelineDN = regexp.MustCompile(`\A/[A-Za-z]{1,12}=[^/]*(?:/|\z)`)

// impossible says why a field never holds a constant and what to write, "" if it may.
func impossible(f Field, v string) string {
	if err := identity.CheckText(v); err != nil {
		return fmt.Sprintf("holds what refuses a certificate: %v", err)
	}
	switch f {
	case FieldSerial:
		return impossibleSerial(v)
	case FieldSHA256, FieldSPKISHA256, FieldAnchor:
		return impossibleHash(v)
	case FieldDNS:
		return impossibleDNS(v)
	case FieldEmail:
		return impossibleEmail(v)
	case FieldSPIFFE:
		if _, err := identity.ParseSPIFFE(v); err != nil {
			return "is no SPIFFE ID: it " + err.Error()
		}
	case FieldDN, FieldIssuer:
		return impossibleDN(v)
	}
	return ""
}

func impossibleSerial(v string) string {
	plain := strings.TrimLeft(strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(v)), "0")
	switch {
	case !isHex(plain):
		return "is not a serial number: write it in lower-case hex without colons"
	case plain != v:
		return fmt.Sprintf("is written %q here: lower-case hex without colons or leading zeros", plain)
	}
	return ""
}

func impossibleHash(v string) string {
	plain := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(v))
	switch {
	case len(plain) != 64 || !isHex(plain):
		return "is not a SHA-256: write 64 hex digits"
	case plain != v:
		return fmt.Sprintf("is written %q here: lower-case hex without colons", plain)
	}
	return ""
}

func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}

func impossibleDNS(v string) string {
	lower := strings.ToLower(v)
	switch {
	case strings.Contains(v, "*"):
		return `is a wildcard, which names nobody; for many hosts write an expression such as "/[a-z0-9-]+[.]example[.]com"`
	case strings.HasSuffix(v, "."):
		return "ends in a dot, and no value of dns does"
	case !isASCII(v):
		return "holds letters that DNS names do not: write its xn-- form"
	case lower != v:
		return fmt.Sprintf("is written %q here: DNS names are lower-cased", lower)
	}
	return ""
}

func impossibleEmail(v string) string {
	local, domain, ok := strings.Cut(v, "@")
	switch {
	case !ok || local == "" || domain == "":
		return "is not an address such as alice@example.com"
	case !isASCII(v):
		return "holds letters that addresses in certificates do not"
	case strings.ToLower(domain) != domain:
		return fmt.Sprintf("is written %q here: domains are lower-cased", local+"@"+strings.ToLower(domain))
	}
	return ""
}

// dnType finds the attribute types of a DN that OpenSSL prints in capitals.
var dnType = regexp.MustCompile(`(?:\A|[,+])(?:cn|c|o|ou|l|st|dc|uid|sn|gn|Cn|Dc|Ou|Uid)=`)

// dnSpace finds a space in front of an attribute type.
var dnSpace = regexp.MustCompile(`(?:\A|[^\\])[,+] +[A-Za-z0-9.]+=`)

func impossibleDN(v string) string {
	switch {
	case !isASCII(v):
		return "holds letters that are printed as bytes in RFC 2253: write é as \\C3\\A9 (see pgsignet explain)"
	case dnSpace.MatchString(v):
		return "has a space behind a comma: RFC 2253 has none (see pgsignet explain)"
	case dnType.MatchString(v):
		return "has attribute types in small letters: write CN=, O=, OU="
	case !strings.Contains(v, "="):
		return "is not a DN such as CN=alice,O=Example"
	}
	return ""
}

// checkSerial warns of a serial number that several CAs may issue (T29).
func (k *compiler) checkSerial(i int, r *rule) {
	serial, issuer := false, false
	for j := range r.Match {
		switch r.Match[j].Field {
		case FieldSerial:
			serial = true
		case FieldIssuer, FieldAnchor, FieldSHA256, FieldSPKISHA256:
			issuer = true
		}
	}
	if r.Kind == Map && serial && !issuer {
		k.warn(i, "match.serial", "A serial number without its issuer", "Every CA may issue a certificate with this number. Add issuer, or use sha256 instead.")
	}
}
