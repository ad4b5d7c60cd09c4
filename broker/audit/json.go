package audit

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"
)

// line builds one JSON object in a buffer it keeps, in the order of its calls. Values that are empty
// are left out, so that a caller states a field and not the condition for it.
//
// Not encoding/json and not zap's encoder: both turn invalid UTF-8 into U+FFFD, which would let two
// different names read alike, and neither escapes what a terminal obeys.
type line struct {
	b   []byte
	lim limits
	cut bool // a name or a list did not fit its cap

	second     int64 // Unix time of secondText
	secondText []byte
}

// reset empties the line and sets the caps of the next one.
func (e *line) reset(lim limits) {
	e.b, e.lim, e.cut = e.b[:0], lim, false
}

// key opens a field; the value must follow.
func (e *line) key(k string) {
	b := e.b
	open := `,"`
	if n := len(b); n == 0 || b[n-1] == '{' || b[n-1] == '[' {
		open = `"`
	}
	b = append(b, open...)
	b = append(b, k...)
	e.b = append(b, `":`...)
}

// open starts the object of field k; close ends it.
func (e *line) open(k string) {
	e.key(k)
	e.b = append(e.b, '{')
}

func (e *line) close() { e.b = append(e.b, '}') }

// str writes a name: capped, and as k_b64 when it is not UTF-8. Empty is left out.
func (e *line) str(k, v string) {
	if v == "" {
		return
	}
	v = e.name(v)
	if !utf8.ValidString(v) {
		e.key(k + "_b64")
		e.b = appendB64(e.b, v)
		return
	}
	e.key(k)
	e.b = appendQuoted(e.b, v)
}

// name cuts v to the cap of names.
func (e *line) name(v string) string {
	if len(v) <= e.lim.name {
		return v
	}
	e.cut = true
	return cutRune(v, e.lim.name)
}

// item writes one element of a list or value of a map: a string, or {"b64":…} when it is not UTF-8.
func (e *line) item(v string) {
	v = e.name(v)
	if utf8.ValidString(v) {
		e.b = appendQuoted(e.b, v)
		return
	}
	e.b = append(e.b, `{"b64":`...)
	e.b = appendB64(e.b, v)
	e.b = append(e.b, '}')
}

// comma separates the elements of a list.
func (e *line) comma() {
	if e.b[len(e.b)-1] != '[' {
		e.b = append(e.b, ',')
	}
}

// list writes an array of names, capped in number. Empty is left out.
func (e *line) list(k string, vs []string) {
	if len(vs) == 0 {
		return
	}
	if len(vs) > e.lim.list {
		vs, e.cut = vs[:e.lim.list], true
	}
	e.key(k)
	e.b = append(e.b, '[')
	for _, v := range vs {
		e.comma()
		e.item(v)
	}
	e.b = append(e.b, ']')
}

// pairs writes an object of names to names in the given order. A key that is not UTF-8 has each such
// byte as \xNN in it, since JSON has no other place for a key.
func (e *line) pairs(k string, ps []Pair, limit int) {
	if len(ps) > limit {
		ps, e.cut = ps[:limit], true
	}
	e.open(k)
	for i, p := range ps {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = appendKey(e.b, e.name(p.Name))
		e.b = append(e.b, ':')
		e.item(p.Value)
	}
	e.close()
}

// int writes an integer, zero too.
func (e *line) int(k string, v int64) {
	e.key(k)
	if 0 <= v && v <= 9 { // the most
		e.b = append(e.b, byte('0'+v))
		return
	}
	e.b = strconv.AppendInt(e.b, v, 10)
}

// some writes an integer that is left out when zero.
func (e *line) some(k string, v int64) {
	if v != 0 {
		e.int(k, v)
	}
}

// us writes a duration in whole microseconds, zero too.
func (e *line) us(k string, d time.Duration) { e.int(k, d.Microseconds()) }

// bool writes true or false.
func (e *line) bool(k string, v bool) {
	e.key(k)
	e.b = strconv.AppendBool(e.b, v)
}

// yes writes true, or leaves the field out.
func (e *line) yes(k string, v bool) {
	if v {
		e.bool(k, true)
	}
}

// when writes a time of certificates, whole seconds in UTC. The zero time is left out.
func (e *line) when(k string, t time.Time) {
	if t.IsZero() {
		return
	}
	e.key(k)
	e.b = append(e.b, '"')
	e.b = t.UTC().AppendFormat(e.b, time.RFC3339)
	e.b = append(e.b, '"')
}

// timeLayout is the form of `time`: UTC, always six decimals, so that lines compare as text.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// time writes t in timeLayout without quotes. Most lines share their second with the line before.
func (e *line) time(t time.Time) {
	if sec := t.Unix(); sec != e.second || len(e.secondText) == 0 {
		e.second, e.secondText = sec, t.UTC().AppendFormat(e.secondText[:0], "2006-01-02T15:04:05.")
	}
	e.b = append(e.b, e.secondText...)
	us := t.Nanosecond() / 1000
	for unit := 100_000; unit > 0; unit /= 10 {
		e.b = append(e.b, byte('0'+us/unit%10))
	}
	e.b = append(e.b, 'Z')
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends valid UTF-8 as a JSON string. Escaped besides what JSON asks for: DEL, C1
// controls (U+009B starts a terminal sequence), line separators and everything that reorders or hides
// text (A118), so that a line can be shown on a terminal as it is.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := plainRun(s); i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plain[c] {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			start = i + 1
			i = start + plainRun(s[start:])
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if hidden(r) {
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
			start = i + n
		}
		i += n
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// plainRun is how many bytes of s, in steps of eight, certainly stand for themselves: those of most
// names and statements, without a look at each. A word has a byte's high bit set in
//
//	x               when the byte is not ASCII
//	x - 0x20        when it is below 0x20 (or a byte below it borrows: then the rest is looked at in vain)
//	(x ^ c) - 0x01  when it is c, likewise
func plainRun(s string) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; n+8 <= len(s); n += 8 {
		x := uint64(s[n]) | uint64(s[n+1])<<8 | uint64(s[n+2])<<16 | uint64(s[n+3])<<24 |
			uint64(s[n+4])<<32 | uint64(s[n+5])<<40 | uint64(s[n+6])<<48 | uint64(s[n+7])<<56
		if (x|(x-0x20*ones)|((x^'"'*ones)-ones)|((x^'\\'*ones)-ones)|((x^0x7f*ones)-ones))&high != 0 {
			break
		}
	}
	return n
}

// plain holds the ASCII bytes that stand for themselves in a JSON string.
var plain = func() (t [utf8.RuneSelf]bool) {
	for c := byte(0x20); c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendEscape appends one ASCII byte that may not stand for itself.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// hidden reports whether r is a C1 control, a line or paragraph separator, or an invisible character
// that changes how its neighbours are shown. All of them lie in the basic plane.
func hidden(r rune) bool {
	switch {
	case r >= 0x80 && r <= 0x9f, r == 0xad, r == 0x61c, r == 0xfeff:
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true
	}
	return false
}

// appendKey appends a JSON object key of any bytes.
func appendKey(dst []byte, s string) []byte {
	if utf8.ValidString(s) {
		return appendQuoted(dst, s)
	}
	var b []byte
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			b = append(b, '\\', 'x', hexDigits[s[0]>>4], hexDigits[s[0]&15])
		} else {
			b = append(b, s[:n]...)
		}
		s = s[n:]
	}
	return appendQuoted(dst, string(b))
}

// appendB64 appends s as a JSON string in standard base64.
func appendB64(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, []byte(s))
	return append(dst, '"')
}

// cutRune returns at most n bytes of s, without splitting a rune of valid UTF-8.
func cutRune(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for back := 0; back < utf8.UTFMax-1 && n-back > 0; back++ {
		if utf8.RuneStart(s[n-back]) {
			return s[:n-back]
		}
	}
	return s[:n]
}
