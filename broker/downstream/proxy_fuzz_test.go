package downstream

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/fakepg"
)

// headerLength is how long the PROXY header that in begins with says it is.
func headerLength(in []byte) int {
	if in[0] == 'P' {
		return bytes.IndexByte(in, '\n') + 1
	}
	return proxyV2Head + int(binary.BigEndian.Uint16(in[proxyV2Head-2:]))
}

// W1, A25, A123: whatever a listed peer sends, and in whatever pieces, no byte behind its header is taken, of
// what is no header few are, and the address is an unmapped one.
func FuzzProxy(f *testing.F) {
	v2 := "\r\n\r\n\x00\r\nQUIT\n"
	for _, in := range []string{
		"PROXY TCP4 10.0.0.1 10.0.0.2 1 5432\r\nbehind", "PROXY TCP6 ::ffff:10.0.0.1 ::1 1 2\r\n", "PROXY UNKNOWN\r\n\x16\x03",
		v2 + "\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x00\x01\x15\x38behind", v2 + "\x20\x00\x00\x00",
		v2 + "\x21\x11\x00\x13\x0a\x00\x00\x01\x0a\x00\x00\x02\x00\x01\x15\x38\x20\x00\x04\x07\x00\x00\x00", v2 + "\x21\x31\x00\xd8", v2 + "\x21\x11\xff\xff",
	} {
		f.Add([]byte(in), []byte{})
		f.Add([]byte(in), []byte{0, 3})
	}
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		whole, cut := &fakepg.Script{Says: in}, &fakepg.Script{Says: in, Cuts: cuts}
		client, ok, err := readProxy(whole)
		again, okAgain, errAgain := readProxy(cut)
		if again != client || okAgain != ok || (errAgain == nil) != (err == nil) || len(cut.Says) != len(whole.Says) {
			t.Fatalf("in pieces %v, %v, %v and %d bytes left; whole %v, %v, %v and %d", again, okAgain, errAgain, len(cut.Says), client, ok, err, len(whole.Says))
		}
		taken := len(in) - len(whole.Says)
		switch {
		case err != nil && (ok || client != netip.AddrPort{} || taken > proxyV2Head+proxyV2Most):
			t.Fatalf("%v: %v, %v, %d bytes taken", err, client, ok, taken)
		case err == nil && taken != headerLength(in):
			t.Fatalf("%d bytes taken of a header of %d", taken, headerLength(in))
		case ok && (!client.Addr().IsValid() || client.Addr().Is4In6()):
			t.Fatalf("the client's address is %v", client)
		}
	})
}

// A25: a sender by a link-local address is in its network whatever the interface is called.
func TestA25ListedByLinkLocalAddress(t *testing.T) {
	prefixes := []netip.Prefix{netip.MustParsePrefix("fe80::/10")}
	if !listed(prefixes, netip.MustParseAddr("fe80::1%eth0")) || listed(prefixes, netip.MustParseAddr("fec0::1%eth0")) {
		t.Error("the zone counts")
	}
}
