package policy

import (
	"regexp"
	"strings"
)

// This file warns of what compiles and was hardly meant. In a map a slip keeps somebody out and is noticed;
// in a deny it lets somebody in and is not.

// likeExpression finds what people write in expressions and hardly in names.
var likeExpression = regexp.MustCompile(`\A\^|\$\z|\.[*+]|\[[a-zA-Z0-9]-|\\[dws.]|\(\?`)

// likeDN is an attribute of a DN, in a field that has the value alone.
var likeDN = regexp.MustCompile(`\A(?i:cn|o|ou|uid|emailAddress)=`)

// checkPlausible warns of a constant that is byte for byte what no certificate is likely to say.
func (k *compiler) checkPlausible(i int, attr string, f Field, v string) {
	switch {
	case f == FieldIP:
	case v != strings.TrimSpace(v):
		k.warn(i, attr, "A space at the end", "%q begins or ends with a space, which is part of the value.", v)
	case likeExpression.MatchString(v):
		k.warn(i, attr, "No expression", "%q is compared byte for byte. An expression starts with a slash: %q.", v, "/"+v)
	case strings.Contains(v, "*"):
		k.warn(i, attr, "A star is itself", "%q is compared byte for byte, its star too. For any text write an expression: %q.",
			v, "/"+strings.ReplaceAll(regexp.QuoteMeta(v), `\*`, ".*"))
	case (f == FieldCN || f == FieldO || f == FieldOU) && likeDN.MatchString(v):
		k.warn(i, attr, "A DN", "%q: %s is the value alone. Leave the type and the = out, or match dn.", v, f)
	}
}

// checkPlainPattern warns of an expression that fits one text alone: it covers the whole value, where
// pg_ident.conf would search in it (T4).
func (k *compiler) checkPlainPattern(i int, attr, v string) {
	if text := v[1:]; text != "" && regexp.QuoteMeta(text) == text {
		k.warn(i, attr, "An expression without special characters",
			"%q fits the value %q and no other: an expression covers the whole value. Write %q for values that contain it, or leave the slash out.",
			v, text, "/.*"+text+".*")
	}
}

// anybody are values that have nothing in common but their field.
var anybody = map[Field][]string{
	FieldEmail:      {"q@z.example", "x7-y_z@a.b.test"},
	FieldDNS:        {"q", "x7-y.z"},
	FieldDN:         {"CN=q", "serialNumber=7,O=Z z"},
	FieldIssuer:     {"CN=q", "serialNumber=7,O=Z z"},
	FieldSPIFFE:     {"spiffe://q/z", "spiffe://x7.test/a/b.c"},
	FieldURI:        {"q:z", "https://x7.test/a"},
	FieldIP:         {"192.0.2.7", "2001:db8::1"},
	FieldSerial:     {"7", "a0b1c2d3e4f5061728394a5b"},
	FieldSHA256:     {strings.Repeat("07", 32), strings.Repeat("f8", 32)},
	FieldSPKISHA256: {strings.Repeat("07", 32), strings.Repeat("f8", 32)},
	FieldAnchor:     {strings.Repeat("07", 32), strings.Repeat("f8", 32)},
}

// anyName is anybody of the other fields.
var anyName = []string{"q", "x7-y.z", "Z z"}

// checkEveryone warns of a map that fits whatever the certificate says, where what it grants does not come
// from the certificate either.
func (k *compiler) checkEveryone(i int, r *rule) {
	fixed := r.Admin != ""
	for n := range r.roles {
		fixed = fixed || len(r.roles[n].groups) == 0
	}
	if r.Kind != Map || !fixed || r.broken || len(r.match) == 0 {
		return
	}
	for j := range r.match {
		if !r.match[j].fitsAnybody() {
			return
		}
	}
	k.warn(i, "match", "Everybody fits",
		"Every certificate that a CA of the listener has issued fits, if only it has %s, and gets what this map grants. Say who is meant.",
		strings.Join(r.matched, " and "))
}

// fitsAnybody says whether one of the condition's expressions fits any value.
func (c *condition) fitsAnybody() bool {
	values := anybody[c.field.field]
	if values == nil {
		values = anyName
	}
	for _, p := range c.patterns {
		all := true
		for _, v := range values {
			all = all && p.fits(v)
		}
		if all {
			return true
		}
	}
	return false
}
