package audit

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Query says which records to find. Every field that is set must fit. A statement fits Serial, CN,
// Email, SPIFFE and Client by the session it belongs to.
type Query struct {
	Since, Until time.Time // [Since, Until)
	Event        string    // "session.open", or the first part: "session"
	SID          string    // or its beginning
	Cert         string    // SHA-256, hex, or its beginning
	Serial       string    // hex
	CN           string
	Email        string
	SPIFFE       string
	Client       string // address or CIDR
	Role         string // of a refusal: the user it asked for
	Database     string
	Map          string
	SQLState     string // five characters, or the two of a class
	Text         string // part of the statement; case does not count
}

// matcher is a Query made ready: needles as they stand in a line.
type matcher struct {
	q            Query
	since, until []byte
	sid          []byte
	bySession    []needle
	sqlstate     []byte
	state        []byte // the same as a field
	text         string // lower case
	raw          []byte // lower case, as it stands in a line; nil when escapes could hide it
}

// needle is one condition on a session.
type needle struct {
	want  []byte
	found func(v *view, want []byte) bool
}

// newMatcher checks q.
func newMatcher(q Query) (*matcher, error) {
	m := &matcher{q: q, sid: quoteRaw(strings.ToLower(q.SID)), sqlstate: quoteRaw(strings.ToUpper(q.SQLState))}
	if n := len(q.SQLState); n != 0 && n != 2 && n != 5 {
		return nil, fmt.Errorf("SQLSTATE %q: five characters, or the two of a class", q.SQLState)
	}
	if q.SQLState != "" {
		m.state = append([]byte(`sqlstate":"`), m.sqlstate...)
	}
	if !q.Since.IsZero() {
		m.since = q.Since.UTC().AppendFormat(nil, timeLayout)
	}
	if !q.Until.IsZero() {
		m.until = q.Until.UTC().AppendFormat(nil, timeLayout)
	}
	m.lowerText(q.Text)
	return m, m.sessions(q)
}

// lowerText prepares the search in statements.
func (m *matcher) lowerText(text string) {
	m.text = strings.ToLower(text)
	raw := quoteRaw(m.text)
	if bytes.IndexByte(raw, '\\') < 0 && isASCII(m.text) {
		m.raw = raw
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// sessions prepares the conditions on sessions.
func (m *matcher) sessions(q Query) error {
	m.where(hexFlag(q.Cert), func(v *view, want []byte) bool { return bytes.HasPrefix(v.cert, want) })
	m.where(serialFlag(q.Serial), func(v *view, want []byte) bool { return bytes.Equal(v.serial, want) })
	m.where(q.CN, func(v *view, want []byte) bool { return bytes.Equal(v.cn, want) })
	m.where(q.SPIFFE, func(v *view, want []byte) bool { return bytes.Equal(v.spiffe, want) })
	m.where(q.Database, func(v *view, want []byte) bool { return bytes.Equal(v.database, want) })
	m.where(q.Map, func(v *view, want []byte) bool { return bytes.Equal(v.rule, want) })
	m.where(q.Role, func(v *view, want []byte) bool {
		return bytes.Equal(v.role, want) || v.role == nil && bytes.Equal(v.user, want)
	})
	m.where(q.Email, func(v *view, want []byte) bool {
		for _, e := range v.email {
			if bytes.EqualFold(e, want) {
				return true
			}
		}
		return false
	})
	if q.Client == "" {
		return nil
	}
	p, err := netip.ParsePrefix(q.Client)
	if err != nil {
		a, aerr := netip.ParseAddr(q.Client)
		if aerr != nil {
			return fmt.Errorf("client %q: an address or a CIDR", q.Client)
		}
		p = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
	}
	m.where(p.String(), func(v *view, _ []byte) bool {
		a, err := netip.ParseAddrPort(string(v.client))
		return err == nil && p.Contains(a.Addr())
	})
	return nil
}

// hexFlag takes a fingerprint or serial as people paste it: any case, with colons.
func hexFlag(s string) string { return strings.ToLower(strings.ReplaceAll(s, ":", "")) }

// serialFlag is a serial number as the record has it; zero is one, too.
func serialFlag(s string) string {
	if s == "" {
		return ""
	}
	return cmp.Or(strings.TrimLeft(hexFlag(s), "0"), "0")
}

func (m *matcher) where(want string, found func(*view, []byte) bool) {
	if want != "" {
		m.bySession = append(m.bySession, needle{quoteRaw(want), found})
	}
}

// inTime reports whether the line lies in the window.
func (m *matcher) inTime(h *head) bool {
	return (m.since == nil || bytes.Compare(h.time, m.since) >= 0) && (m.until == nil || bytes.Compare(h.time, m.until) < 0)
}

// isEvent reports whether the line is of an event asked for.
func (m *matcher) isEvent(h *head) bool {
	if m.q.Event == "" || string(h.event) == m.q.Event {
		return true
	}
	rest, ok := bytes.CutPrefix(h.event, []byte(m.q.Event))
	return ok && rest[0] == '.'
}

// session reports whether the line by itself fits every condition on sessions.
func (m *matcher) session(v *view) bool {
	for _, n := range m.bySession {
		if !n.found(v, n.want) {
			return false
		}
	}
	return true
}

func (m *matcher) isState(v *view) bool {
	return len(m.sqlstate) == 0 || bytes.HasPrefix(v.sqlstate, m.sqlstate)
}

// mayFit is a quick look at a line that is not one of a session's own: false when it cannot fit.
func (m *matcher) mayFit(text []byte) bool {
	return m.state == nil || bytes.Contains(text, m.state) || bytes.Contains(text, []byte(`phase":"start"`))
}

// hasText looks for the text in the statement. lower is scratch memory, returned grown.
func (m *matcher) hasText(v *view, lower []byte) (bool, []byte) {
	if m.text == "" {
		return true, lower
	}
	if v.textB64 != nil {
		text, err := base64.StdEncoding.DecodeString(string(v.textB64))
		return err == nil && strings.Contains(strings.ToLower(string(text)), m.text), lower
	}
	if m.raw != nil {
		lower = appendLower(lower[:0], v.text)
		if !bytes.Contains(lower, m.raw) {
			return false, lower
		}
		if bytes.IndexByte(v.text, '\\') < 0 {
			return true, lower
		}
	}
	return strings.Contains(strings.ToLower(unquote(v.text)), m.text), lower
}

// appendLower appends b with its ASCII letters in lower case.
func appendLower(dst, b []byte) []byte {
	n := len(dst)
	dst = append(dst, b...)
	low := dst[n:]
	for len(low) >= 8 {
		binary.LittleEndian.PutUint64(low, lowerEight(binary.LittleEndian.Uint64(low)))
		low = low[8:]
	}
	for i, c := range low {
		low[i] = byte(lowerEight(uint64(c)))
	}
	return dst
}

// lowerEight is x with those of its eight bytes in lower case that are ASCII capitals: the high bit of a
// byte of above is set when its low seven bits are above 'Z', of from when they are 'A' or above.
func lowerEight(x uint64) uint64 {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	seven := x &^ high
	above, from := seven+(0x7f-'Z')*ones, seven+(0x80-'A')*ones
	return x | (above^from)&^x&high>>2
}
