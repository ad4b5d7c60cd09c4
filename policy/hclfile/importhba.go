package hclfile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pgsignet/pgsignet/policy"
)

// hbaLine is a line of pg_hba.conf that a TLS connection can meet.
type hbaLine struct {
	source importSource

	databases hbaNames
	users     hbaNames
	from      []netip.Prefix // nil: any
	addrHard  string         // an address that only the server can tell: samehost, a host name

	method  string
	options map[string]string
}

// hbaNames are the databases or users of a line.
type hbaNames struct {
	all         bool
	same        bool // sameuser
	names       []string
	replication bool   // physical replication, beside the others
	hard        string // a word that only the server can tell: samerole, +group, /re
}

// hbaMethods are the words that PostgreSQL 15 to 18 know. cert is a login by certificate; the
// others are not, or only with clientcert=verify-full.
var hbaMethods = []string{"trust", "reject", "scram-sha-256", "md5", "password", "gss", "sspi", "ident", "peer", "ldap", "radius", "cert", "pam", "bsd", "oauth"}

// hbaLines reads the lines as parse_hba_line does, and keeps those that count for TLS over TCP.
func hbaLines(r *confReader) []hbaLine {
	var out []hbaLine
	for i := range r.lines {
		l := &r.lines[i]
		kind := word(l.fields[0])
		if !slices.Contains([]string{"local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"}, kind) {
			r.problem(l.file, l.line, "PostgreSQL refuses the file: there is no connection type %q", kind)
			continue
		}
		h, err := parseHBA(l, kind)
		switch {
		case err != nil:
			r.problem(l.file, l.line, "PostgreSQL refuses the file: %v", err)
		case kind == "host" || kind == "hostssl" || kind == "hostnogssenc":
			out = append(out, h)
		}
	}
	return out
}

// word is a field of one word, "" if it is none.
func word(field []confToken) string {
	if len(field) != 1 {
		return ""
	}
	return field[0].text
}

func parseHBA(l *confLine, kind string) (hbaLine, error) {
	h := hbaLine{source: l.source(), options: map[string]string{}}
	rest := l.fields[1:]
	if len(rest) < 3 {
		return h, fmt.Errorf("the line ends too soon")
	}
	h.databases, h.users = databaseNames(rest[0]), userNames(rest[1])
	rest = rest[2:]
	if kind != "local" {
		used, err := h.address(rest)
		if err != nil {
			return h, err
		}
		rest = rest[used:]
	}
	if len(rest) == 0 || !slices.Contains(hbaMethods, word(rest[0])) {
		return h, fmt.Errorf("there is no method at the line's end that it knows")
	}
	h.method = word(rest[0])
	for _, field := range rest[1:] {
		for _, t := range field {
			name, value, ok := strings.Cut(t.text, "=")
			if !ok {
				return h, fmt.Errorf("%q is not name=value", t.text)
			}
			h.options[name] = value
		}
	}
	return h, h.check(kind)
}

// check reports methods and options that do not go together, as far as they concern certificates.
func (h *hbaLine) check(kind string) error {
	clientcert, hasCert := h.options["clientcert"]
	clientname, hasName := h.options["clientname"]
	_, hasMap := h.options["map"]
	switch {
	case kind != "hostssl" && (h.method == "cert" || hasCert || hasName):
		return fmt.Errorf("certificates are for hostssl lines only")
	case kind != "local" && h.method == "peer":
		return fmt.Errorf("peer is for local lines only")
	case hasMap && !slices.Contains([]string{"ident", "peer", "gss", "sspi", "cert", "oauth"}, h.method):
		return fmt.Errorf("%s has no option map", h.method)
	case hasCert && clientcert != "verify-full" && (clientcert != "verify-ca" || h.method == "cert"):
		return fmt.Errorf("clientcert=%s is not one of its values here", clientcert)
	case hasName && clientname != "CN" && clientname != "DN":
		return fmt.Errorf("clientname=%s is not one of its values", clientname)
	}
	return nil
}

// databaseNames reads the second field. An unquoted `replication` stands for physical replication
// only, which no other word lets in.
func databaseNames(field []confToken) hbaNames {
	var n hbaNames
	for _, t := range field {
		switch {
		case t.keyword("all"):
			n.all = true
		case t.keyword("sameuser"):
			n.same = true
		case t.keyword("replication"):
			n.replication = true
		case t.keyword("samerole"), t.keyword("samegroup"), strings.HasPrefix(t.text, "/"):
			n.hard = t.text
		default:
			n.names = append(n.names, t.text)
		}
	}
	return n
}

// userNames reads the third field.
func userNames(field []confToken) hbaNames {
	var n hbaNames
	for _, t := range field {
		switch {
		case t.keyword("all"):
			n.all = true
		case !t.quoted && strings.HasPrefix(t.text, "+"), strings.HasPrefix(t.text, "/"):
			n.hard = t.text
		default:
			n.names = append(n.names, t.text)
		}
	}
	return n
}

// none reports a list that stands for nobody.
func (n *hbaNames) none() bool { return !n.all && !n.same && n.hard == "" && len(n.names) == 0 }

// any reports a list that may stand for anybody.
func (n *hbaNames) any() bool { return n.all || n.hard != "" }

// address reads the address and, where it has no mask length, the mask. It returns how many
// fields it took.
func (h *hbaLine) address(rest []([]confToken)) (int, error) {
	if len(rest) == 0 || len(rest[0]) != 1 {
		return 0, fmt.Errorf("there is no single address")
	}
	t := rest[0][0]
	switch {
	case t.keyword("all"):
		return 1, nil
	case t.keyword("samehost"), t.keyword("samenet"):
		h.addrHard = t.text
		return 1, nil
	case strings.Contains(t.text, "/"):
		p, err := policy.ParsePrefix(t.text)
		if err != nil {
			return 0, fmt.Errorf("%q is %w", t.text, err)
		}
		h.from = []netip.Prefix{p}
		return 1, nil
	}
	addr, err := netip.ParseAddr(t.text)
	if err != nil {
		h.addrHard = "the host name " + t.text
		return 1, nil
	}
	return h.mask(addr, rest[1:])
}

// mask reads the mask that follows an address.
func (h *hbaLine) mask(addr netip.Addr, rest []([]confToken)) (int, error) {
	if len(rest) == 0 || len(rest[0]) != 1 {
		return 0, fmt.Errorf("there is no mask behind the address")
	}
	m, err := netip.ParseAddr(rest[0][0].text)
	if err != nil || m.BitLen() != addr.BitLen() {
		return 0, fmt.Errorf("%q is no mask for %v", rest[0][0].text, addr)
	}
	bits := 0
	for _, b := range m.AsSlice() {
		for i := 7; i >= 0 && b&(1<<i) != 0; i-- {
			bits++
		}
	}
	p := netip.PrefixFrom(addr, bits).Masked()
	if netip.PrefixFrom(m, bits).Masked().Addr() != m {
		h.addrHard = "the mask " + m.String()
		return 2, nil
	}
	h.from = []netip.Prefix{p}
	return 2, nil
}

// byCertificate reports a line that logs in by certificate, and the field that is compared.
func (h *hbaLine) byCertificate() (field string, ok bool) {
	full := h.method == "cert" || h.method == "trust" && h.options["clientcert"] == "verify-full"
	if h.options["clientname"] == "DN" {
		return "dn", full
	}
	return "cn", full
}

// hard is a word of the line that only the server can tell the meaning of.
func (h *hbaLine) hard() string {
	for _, s := range []string{h.databases.hard, h.users.hard, h.addrHard} {
		if s != "" {
			return s
		}
	}
	return ""
}
