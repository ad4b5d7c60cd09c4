package main

import (
	"net/netip"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// recordedLogin is what replay reads of a session.open or session.denied line (docs/audit.md).
type recordedLogin struct {
	Time   string
	Event  string
	SID    string
	Cut    bool // values were cut to fit the line
	Client struct{ Addr, Listener string }
	Cert   *struct {
		SHA256     string
		SPKISHA256 string `json:"spki_sha256"`
		RootSHA256 string `json:"root_sha256"`
		Serial     string
		Issuer     string
		Subject    string
		CN         string
		O, OU      []string
		Email, DNS []string
		URI, IP    []string
		SPIFFE     string
		Ext        map[string]string
		NotBefore  time.Time `json:"not_before"`
		NotAfter   time.Time `json:"not_after"`
	}
	Rule      struct{ Name string }
	Requested *struct {
		User, Database string
		Params         map[string]string
	}
	Granted *struct{ Role, Database, Admin string }
	Denial  *struct {
		Stage, Reason string
		Undecidable   bool
	}
}

// byPolicy says whether rules decided the login.
func (l *recordedLogin) byPolicy() bool {
	switch l.Event {
	case "session.open":
		return true
	case "session.denied":
		return l.Denial != nil && l.Denial.Stage == "policy" && l.Denial.Reason != "locked"
	}
	return false
}

// access is how the login was decided.
func (l *recordedLogin) access() policy.Access {
	if l.Denial != nil {
		return policy.Access{Reason: l.Denial.Reason, Rule: l.Rule.Name}
	}
	a := policy.Access{Granted: true, Rule: l.Rule.Name}
	if l.Granted != nil {
		a.Role, a.DBName, a.Admin = l.Granted.Role, l.Granted.Database, l.Granted.Admin
	}
	if a.Admin != "" {
		a.DBName = ""
	}
	return a
}

// maxExtensions is how many extensions a line holds at most.
const maxExtensions = 32

// request is the login as it was asked for; ok is false when the line does not have all that the
// rules, which read the extensions oids, could ask for.
func (l *recordedLogin) request(oids []string) (r policy.Request, ok bool) {
	if l.Cert == nil || l.Requested == nil || l.Requested.Params == nil || l.Client.Listener == "" || l.Cut ||
		l.Denial != nil && l.Denial.Undecidable {
		return r, false
	}
	now, err := time.Parse(time.RFC3339Nano, l.Time)
	addr, aerr := netip.ParseAddrPort(l.Client.Addr)
	if err != nil || aerr != nil {
		return r, false
	}
	for _, oid := range oids {
		if _, has := l.Cert.Ext[oid]; !has && len(l.Cert.Ext) >= maxExtensions {
			return r, false
		}
	}
	return policy.Request{
		Identity: l.identity(), Listener: l.Client.Listener, Addr: addr.Addr(), Now: now,
		User: l.Requested.User, Database: l.Requested.Database, ApplicationName: l.param("application_name"),
		Replication: l.param("replication") != "",
	}, true
}

func (l *recordedLogin) param(name string) string {
	if l.Requested == nil {
		return ""
	}
	value := l.Requested.Params[name]
	if name == "replication" && isFalse(value) {
		return ""
	}
	return value
}

// isFalse says whether PostgreSQL reads a boolean parameter as false (parse_bool).
func isFalse(value string) bool {
	switch v := strings.ToLower(value); {
	case v == "0", v == "of", v == "off":
		return true
	default:
		return v != "" && (strings.HasPrefix("false", v) || strings.HasPrefix("no", v))
	}
}

// identity is the certificate's, as it was extracted at the login.
func (l *recordedLogin) identity() *identity.Identity {
	c := l.Cert
	id := &identity.Identity{
		CN: c.CN, CNs: commonNames(c.Subject), O: c.O, OU: c.OU, DN: c.Subject, Issuer: c.Issuer, Email: c.Email, DNS: c.DNS, URI: c.URI,
		SPIFFE: c.SPIFFE, Serial: c.Serial, SHA256: c.SHA256, SPKISHA256: c.SPKISHA256, Extension: c.Ext,
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		Ambiguous: l.Denial != nil && l.Denial.Reason == "ambiguous_identity",
	}
	if c.RootSHA256 != "" {
		id.Anchors = []string{c.RootSHA256}
	}
	for _, text := range c.IP {
		if ip, err := netip.ParseAddr(text); err == nil {
			id.IP = append(id.IP, ip)
		}
	}
	return id
}

// commonNames are the common names of a subject in RFC 2253 form, in the certificate's order, which
// is the reverse of the text's.
func commonNames(dn string) []string {
	var names []string
	for _, attribute := range splitDN(dn) {
		if value, ok := strings.CutPrefix(attribute, "CN="); ok && value != "" {
			names = append([]string{unescapeDN(value)}, names...)
		}
	}
	return names
}

// splitDN cuts a DN at the commas and plus signs that are not escaped.
func splitDN(dn string) []string {
	var parts []string
	from := 0
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',', '+':
			parts, from = append(parts, dn[from:i]), i+1
		}
	}
	return append(parts, dn[from:])
}

// unescapeDN undoes \XX, two hex digits for a byte, and \c, a character.
func unescapeDN(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		if i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			out.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
			continue
		}
		i++
		out.WriteByte(s[i])
	}
	return out.String()
}

func isHex(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}
