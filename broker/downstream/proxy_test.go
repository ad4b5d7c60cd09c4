package downstream_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/pgsignet/pgsignet/broker/downstream"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func behindProxy(c *downstream.Config) { c.ProxyProtocol = loopback }

// header formats a PROXY header.
func header(t *testing.T, version byte, source, destination net.Addr, tlvs ...proxyproto.TLV) []byte {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version, source, destination)
	if err := h.SetTLVs(tlvs); err != nil {
		t.Fatal(err)
	}
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tcp(address string) *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))
}

// A25, A123: from a listed peer the header gives the client's address, unmapped; TLVs that claim a
// certificate or TLS are ignored.
func TestA25ProxyHeader(t *testing.T) {
	d := open(t, behindProxy, nil)
	claims := []proxyproto.TLV{
		{Type: proxyproto.PP2_TYPE_SSL, Value: []byte("\x07\x00\x00\x00\x00\x22\x00\x08postgres")},
		{Type: proxyproto.PP2_TYPE_AUTHORITY, Value: []byte("other.example")},
	}
	for _, tt := range []struct {
		name string
		in   []byte
		want string // "" is the peer itself
	}{
		{"v1", header(t, 1, tcp("10.2.3.14:53912"), tcp("10.2.0.2:5432")), "10.2.3.14:53912"},
		{"v1, IPv6", header(t, 1, tcp("[2001:db8::1]:1"), tcp("[2001:db8::2]:2")), "[2001:db8::1]:1"},
		{"v1, mapped", []byte("PROXY TCP6 ::ffff:10.0.0.1 ::ffff:10.0.0.2 7 8\r\n"), "10.0.0.1:7"},
		{"v1, shortest", []byte("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), "1.1.1.1:1"},
		{"v1, UNKNOWN", []byte("PROXY UNKNOWN\r\n"), ""},
		{"v1, UNKNOWN with addresses", []byte("PROXY UNKNOWN 1.1.1.1 2.2.2.2 1 2\r\n"), ""},
		{"v2", header(t, 2, tcp("10.2.3.14:53912"), tcp("10.2.0.2:5432")), "10.2.3.14:53912"},
		{"v2, mapped", []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24" +
			strings.Repeat("\x00", 10) + "\xff\xff\x0a\x00\x00\x01" + strings.Repeat("\x00", 10) + "\xff\xff\x0a\x00\x00\x02" +
			"\x00\x07\x00\x08"), "10.0.0.1:7"},
		{"v2, TLVs", header(t, 2, tcp("10.2.3.14:53912"), tcp("10.2.0.2:5432"), claims...), "10.2.3.14:53912"},
		{"v2, LOCAL", []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"), ""},
		{"v2, LOCAL with addresses", []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x11\x00\x0c\x0a\x02\x03\x0e\x0a\x02\x00\x02\x00\x01\x00\x02"), ""},
	} {
		for how, send := range map[string]func(*peer){
			"whole":        func(p *peer) { p.send(tt.in) },
			"byte by byte": func(p *peer) { trickle(p, tt.in) },
		} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				p := d.dial()
				send(p)
				p.send(sslRequest).expect("S").mustEncrypt(d.clientTLS()).send(login)
				c := d.admitted()
				addr, proxy := tt.want, p.LocalAddr().String()
				if addr == "" {
					addr, proxy = proxy, netip.AddrPort{}.String()
				}
				if c.Addr.String() != addr || c.Proxy.String() != proxy {
					t.Errorf("got %s by %s, want %s by %s", c.Addr, c.Proxy, addr, proxy)
				}
				if len(c.TLS.PeerCertificates) == 0 || !c.TLS.PeerCertificates[0].Equal(d.leaf.X509) {
					t.Error("the certificate is not the one of the handshake")
				}
			})
		}
	}
}

// W1: the header and what follows it come in one segment; nothing is lost between them.
func TestA25ProxyHeaderAndHello(t *testing.T) {
	d := open(t, behindProxy, nil)
	p := d.dial()
	p.Conn = &prepend{Conn: p.Conn, head: header(t, 2, tcp("10.0.0.1:1"), tcp("10.0.0.2:2"))}
	p.mustEncrypt(d.clientTLS()).send(login)
	if c := d.admitted(); !c.DirectTLS || c.Addr.String() != "10.0.0.1:1" {
		t.Errorf("got %+v", c)
	}
}

// prepend sends head before the first bytes written, in one write.
type prepend struct {
	net.Conn
	head []byte
}

func (p *prepend) Write(b []byte) (int, error) {
	if p.head == nil {
		return p.Conn.Write(b)
	}
	n, err := p.Conn.Write(append(p.head, b...))
	n = max(0, n-len(p.head))
	p.head = nil
	return n, err
}

// A25: a listed peer that sends no header, or a bad one, is closed without an answer.
func TestA25BadProxyHeader(t *testing.T) {
	d := open(t, behindProxy, nil)
	hello := clientHello(t, d.clientTLS())
	v2 := "\r\n\r\n\x00\r\nQUIT\n"
	for name, in := range map[string][]byte{
		"SSLRequest":             sslRequest, // shorter than a header: more never comes
		"start-up packet":        login,
		"direct TLS":             hello,
		"v1 of another protocol": []byte("PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n"),
		"v1 without addresses":   []byte("PROXY TCP4\r\n\r\n\r\n\r\n"),
		"v1 without CR":          []byte("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n"),
		"v1 too long":            []byte("PROXY TCP4 " + strings.Repeat("1", 200)),
		"v1 with a name":         []byte("PROXY TCP4 localhost 2.2.2.2 1 2\r\n"),
		"v1 with a bad port":     []byte("PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n"),
		"v2 of version 3":        []byte(v2 + "\x31\x11\x00\x0c" + "abcdabcdabcd"),
		"v2 UDP":                 []byte(v2 + "\x21\x12\x00\x0c" + "abcdabcdabcd"),
		"v2 unix":                []byte(v2 + "\x21\x31\x00\xd8" + strings.Repeat("x", 216)),
		"v2 of 65535 bytes":      []byte(v2 + "\x21\x11\xff\xff" + strings.Repeat("x", 100)),
		"v2 too short":           []byte(v2 + "\x21\x11\x00\x04" + "abcd"),
		"v2 PROXY without kind":  []byte(v2 + "\x21\x00\x00\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			d.dial().send(in).expectClosed()
			if e := d.refused(downstream.StageStartup, "protocol"); e.Answer != nil || e.Probe {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestA25ProxyHeaderStalls(t *testing.T) {
	d := open(t, func(c *downstream.Config) {
		behindProxy(c)
		c.HandshakeTimeout = 200 * time.Millisecond
	}, nil)
	for _, in := range []string{"", "PROXY ", "PROXY TCP4 1.1.1.1 ", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0cab"} {
		d.dial().send([]byte(in)).expectClosed()
		d.refused(downstream.StageStartup, "startup_timeout")
	}
}

// A25: a header from a peer that is not listed closes the connection.
func TestA25StrayProxyHeader(t *testing.T) {
	d := open(t, func(c *downstream.Config) {
		c.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	}, nil)
	for version := range byte(2) {
		in := header(t, version+1, tcp("10.0.0.1:1"), tcp("10.0.0.2:2"))
		d.dial().send(in, sslRequest).expectClosed()
		d.refused(downstream.StageStartup, "protocol")
	}
	p := d.secure().send(login)
	if c := d.admitted(); c.Addr.String() != p.LocalAddr().String() {
		t.Errorf("from %s", c.Addr)
	}
}

// W5: a balancer that sees if we live sends LOCAL, or nothing, and closes.
func TestProxyProbe(t *testing.T) {
	d := open(t, behindProxy, nil)
	for _, in := range []string{"", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "PROXY UNKNOWN\r\n"} {
		_ = d.dial().send([]byte(in)).Close()
		if e := d.refused(downstream.StageStartup, "protocol"); !e.Probe {
			t.Errorf("%q: got %+v", in, e)
		}
	}
}
