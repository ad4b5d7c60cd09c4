package e2e

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	sslRequest = []byte{0, 0, 0, 8, 4, 210, 22, 47}
	gssRequest = []byte{0, 0, 0, 8, 4, 210, 22, 48}
)

// knock is a connection that never becomes a session: what it says, and what everybody sees.
type knock struct {
	name   string
	speak  func(c *Wire) *Wire // says it; what is read of the result is what the client sees
	want   string              // a regular expression over that, whole
	reason string              // in the audit
	stage  string              // default startup
}

// says is a knock that sends bytes and listens.
func says(parts ...[]byte) func(*Wire) *Wire {
	return func(c *Wire) *Wire {
		c.Write(bytes.Join(parts, nil)) // the broker may be gone before the last byte
		return c
	}
}

// answered sends a request and reads the one-byte answer, which must be want.
func (w *Wire) answered(request []byte, want byte) *Wire {
	w.t.Helper()
	w.Send(request)
	var b [1]byte
	if _, err := io.ReadFull(w, b[:]); err != nil || b[0] != want {
		w.t.Fatalf("answer %q, %v, want %q", b, err, want)
	}
	return w
}

// encrypted is the connection inside TLS.
func (w *Wire) encrypted(cfg *tls.Config) *Wire {
	w.t.Helper()
	conn := tls.Client(w.Conn, cfg)
	if err := conn.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	return &Wire{Conn: conn, t: w.t}
}

// attempts runs knocks against a watched broker. Its audit folds what comes within a second, so it is
// held to the numbers: each knock is one event of its reason, at a stage where that reason occurs.
func (w *watch) attempts(t *testing.T, knocks []knock) {
	t.Helper()
	expected, stages := map[string]int{}, map[string]bool{}
	for _, k := range knocks {
		if k.stage == "" {
			k.stage = "startup"
		}
		expected[k.reason]++
		stages[k.reason+" at "+k.stage] = true
	}
	counted := map[string]int{}
	for reason := range expected {
		counted[reason] = w.denials(reason)
	}
	all, records := w.denials(""), len(w.readRecords("session.denied"))
	t.Run("cases", func(t *testing.T) {
		for _, k := range knocks {
			t.Run(k.name, func(t *testing.T) {
				t.Parallel()
				seen, _ := io.ReadAll(k.speak(w.Dial(t)))
				if !regexp.MustCompile("(?s)^(?:" + k.want + ")$").Match(seen) {
					t.Errorf("the client sees %q, want %s", seen, k.want)
				}
			})
		}
	})
	for reason, n := range expected {
		Poll(t, fmt.Sprintf("%d audit events of %s", n, reason), func() bool { return w.denials(reason)-counted[reason] == n })
	}
	if n := w.denials("") - all; n != len(knocks) {
		t.Errorf("%d audit events for %d attempts", n, len(knocks))
	}
	for _, r := range w.readRecords("session.denied")[records:] {
		if at := fmt.Sprint(dig(r, "denial.reason"), " at ", dig(r, "denial.stage")); !stages[at] {
			t.Errorf("audit: %s: %v", at, r)
		}
		if r["requested"] != nil || dig(r, "client.listener") != "main" || dig(r, "client.addr") == nil {
			t.Errorf("audit: %v, want the client's address and nothing it asked for", r)
		}
	}
	w.undisturbed(t)
}

// fatal is a FATAL error of that SQLSTATE whose text has words, as it is on the wire.
func fatal(code, words string) string {
	return `E.{4}SFATAL\x00VFATAL\x00C` + code + `\x00M[^\x00]*` + words + `.*\x00\x00`
}

// TestA1ToA12Startup is the catalogue's section on what comes before a session, each case against
// the program.
func TestA1ToA12Startup(t *testing.T) {
	b := underWatch(t, Options{Listener: `handshake_timeout = "3s"`}) // for what is not to exceed it, too
	alice := b.World.Client("alice")
	login := Startup(3<<16, "user", "alice", "database", "orders")
	direct := func(c *Wire) *Wire { return c.encrypted(b.TLSConfig(alice)) }
	secure := func(c *Wire) *Wire { return c.answered(sslRequest, 'S').encrypted(b.TLSConfig(alice)) }
	plain := b.TLSConfig(alice)
	plain.NextProtos = nil
	length := func(n uint32) []byte { return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }
	knocks := []knock{
		{name: "A1 plaintext start-up packet", speak: says(login), want: fatal("28000", "TLS") /* and the hint */, reason: "no_tls"},
		{name: "A1 with forbidden settings", speak: says(Startup(3<<16, "user", "alice", "role", "boss")), want: fatal("28000", "TLS"), reason: "no_tls"},
		{name: "A2 start-up packet behind SSLRequest", speak: says(sslRequest, login), want: "S", reason: "plaintext_injection"},
		{name: "A2 start-up packet behind the answer", speak: func(c *Wire) *Wire { return says(login)(c.answered(sslRequest, 'S')) },
			want: "", reason: "plaintext_injection", stage: "tls"},
		{name: "A3 bytes behind GSSENCRequest", speak: says(gssRequest, login), want: "N", reason: "plaintext_injection"},
		{name: "A6 SSLRequest twice in direct TLS", speak: func(c *Wire) *Wire { return says(sslRequest)(direct(c).answered(sslRequest, 'N')) },
			want: fatal("0A000", ""), reason: "protocol"},
		{name: "A6 SSLRequest behind S", speak: func(c *Wire) *Wire { return says(sslRequest)(secure(c)) }, want: fatal("0A000", ""), reason: "protocol"},
		{name: "A7 GSSENCRequest twice", speak: func(c *Wire) *Wire { return says(gssRequest)(c.answered(gssRequest, 'N')) },
			want: fatal("0A000", ""), reason: "protocol"},
		{name: "A8 direct TLS without ALPN", speak: func(c *Wire) *Wire { return says(login)(c.encrypted(plain)) },
			want: fatal("08P01", "ALPN"), reason: "protocol"},
		{name: "A12 silence", speak: says(), want: "", reason: "startup_timeout"},
		{name: "A12 half a packet", speak: says(login[:9]), want: "", reason: "startup_timeout"},
		{name: "A12 a byte at a time", speak: trickled(func(c *Wire) *Wire { return c }, login), want: "", reason: "startup_timeout"},
		{name: "A12 a byte at a time inside TLS", speak: trickled(secure, login), want: "", reason: "startup_timeout"},
		{name: "A14 stall behind SSLRequest", speak: func(c *Wire) *Wire { return c.answered(sslRequest, 'S') }, want: "", reason: "startup_timeout", stage: "tls"},
		{name: "A14 stall within ClientHello", speak: says(clientHello(t, b.TLSConfig(alice))[:100]), want: "", reason: "startup_timeout", stage: "tls"},
		{name: "A14 stall after CertificateRequest", speak: says(clientHello(t, b.TLSConfig(alice))), want: `\x16\x03\x03.*`, reason: "startup_timeout", stage: "tls"},
		{name: "A14 stall after the handshake", speak: secure, want: "", reason: "startup_timeout"},
		{name: "A14 half-close within ClientHello", speak: func(c *Wire) *Wire {
			defer c.Conn.(*net.TCPConn).CloseWrite()
			return says(clientHello(t, b.TLSConfig(alice))[:100])(c)
		}, want: "", reason: "tls", stage: "tls"},
	}
	for name, in := range map[string]string{
		"HTTP": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "SSH": "SSH-2.0-OpenSSH_9.2\r\n", "SSLv2": "\x80\x2e\x01\x00\x02\x00\x15",
		"RDP": "\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00", "byte 0x80": "\x80\x00\x00\x00",
	} {
		knocks = append(knocks, knock{name: "A10 " + name, speak: says([]byte(in)), want: "", reason: "protocol"})
	}
	for name, in := range map[string][]byte{
		"length 0": length(0), "length 3": length(3), "length 7": length(7), "length 10005": length(10_005), "length 2^31-1": length(1<<31 - 1),
		"negative length": length(1 << 31), "CancelRequest of 8": append(length(8), 4, 210, 22, 46),
	} {
		knocks = append(knocks, knock{name: "A11 " + name, speak: says(in), want: "", reason: "protocol"},
			knock{name: "A11 " + name + " inside TLS", speak: func(c *Wire) *Wire { return says(in)(secure(c)) }, want: "", reason: "protocol"})
	}
	b.attempts(t, knocks)
	t.Run("A6 and A7 asked once", func(t *testing.T) {
		for _, c := range []*Wire{direct(b.Dial(t)).answered(sslRequest, 'N'), secure(b.Dial(t).answered(gssRequest, 'N'))} {
			c.Send(login)
			c.ReadUntil('Z')
			c.Send(Msg('X', ""))
		}
	})
	b.undisturbed(t)
}

// trickled sends a packet a byte at a time, more slowly than the deadline allows.
func trickled(on func(*Wire) *Wire, packet []byte) func(*Wire) *Wire {
	return func(c *Wire) *Wire {
		c = on(c)
		for _, one := range packet {
			if _, err := c.Write([]byte{one}); err != nil {
				break
			}
			time.Sleep(120 * time.Millisecond) // the attack is to be slow: four seconds for a login
		}
		return c
	}
}

// clientHello is the first flight of a client with that configuration.
func clientHello(t *testing.T, cfg *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	go tls.Client(near, cfg).Handshake() // ends with the pipe
	buf := make([]byte, 1<<14)
	n, err := far.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// TestA13SilentSockets: of more silent connections than an address may have the rest is closed at once, and
// a good login succeeds beside a thousand; they end at the deadline without a word.
func TestA13SilentSockets(t *testing.T) {
	dialled := func(t *testing.T, b *watch, n int) (silent []net.Conn) {
		for range n {
			silent = append(silent, b.Dial(t))
		}
		return silent
	}
	t.Run("a crowd", func(t *testing.T) {
		b := underWatch(t, Options{Listener: "handshake_timeout = \"5m\"\n half_open = 3000\n half_open_per_address = 1000"})
		silent := dialled(t, b, 1500)
		Poll(t, "the crowd to be let in as far as it may", func() bool { return b.footprint(t).halfOpen == 1000 })
		neighbour := b.dialFrom(t, "127.0.0.2")
		c := neighbour.answered(sslRequest, 'S').encrypted(b.TLSConfig(b.World.Client("alice")))
		c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
		c.ReadUntil('Z')
		c.Send(Msg('X', ""))
		for _, s := range silent {
			s.Close()
		}
		b.undisturbed(t)
	})
	t.Run("their end", func(t *testing.T) {
		b := underWatch(t, Options{Listener: "handshake_timeout = \"3s\"\n half_open = 3000\n half_open_per_address = 1000"})
		const crowd = 500
		for i, s := range dialled(t, b, crowd) {
			if rest, _ := io.ReadAll(s); len(rest) != 0 {
				t.Fatalf("connection %d was told %q", i, rest)
			}
		}
		Poll(t, "an audit event for each", func() bool { return b.denials("startup_timeout") == crowd })
		b.undisturbed(t)
	})
}

// dialFrom is Dial from a loopback address of the test's choice.
func (b *Broker) dialFrom(t *testing.T, address string) *Wire {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := d.Dial("tcp", b.Addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { conn.Close() })
	return &Wire{Conn: conn, t: t}
}

// TestA25ProxyHeaders: a header counts from a listed peer only, and then only its addresses.
func TestA25ProxyHeaders(t *testing.T) {
	v2 := "\r\n\r\n\x00\r\nQUIT\n"
	v2TCP := v2 + "\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x00\x07\x00\x08"
	t.Run("A25 from outside", func(t *testing.T) {
		b := underWatch(t, Options{Listener: `proxy_protocol = ["10.0.0.0/8"]`})
		b.attempts(t, []knock{
			{name: "v1", speak: says([]byte("PROXY TCP4 10.0.0.1 10.0.0.2 7 8\r\n"), sslRequest), want: "", reason: "protocol"},
			{name: "v2", speak: says([]byte(v2TCP), sslRequest), want: "", reason: "protocol"},
		})
	})
	b := underWatchBy(t, Shared(t).Client("boss"), "127.0.0.2", Options{Listener: "proxy_protocol = [\"127.0.0.1/32\"]\n handshake_timeout = \"5s\"", Rules: `
map "inside" {
  match { cn = "alice" }
  from      = ["10.0.0.1/32"]
  roles     = ["alice"]
  databases = ["orders"]
}
map "watch" {
  match { cn = "boss" }
  roles     = ["boss"]
  databases = ["orders"]
}`})
	b.attempts(t, []knock{
		{name: "A25 header missing, SSLRequest", speak: says(sslRequest, sslRequest), want: "", reason: "protocol"},
		{name: "A25 header missing, TLS", speak: says(clientHello(t, b.TLSConfig(nil))), want: "", reason: "protocol"},
		{name: "A25 header cut short", speak: says([]byte("PROXY TCP4 10.0.0.1 ")), want: "", reason: "startup_timeout"},
		{name: "A25 another protocol", speak: says([]byte(v2 + "\x21\x12\x00\x0c" + "abcdabcdabcd")), want: "", reason: "protocol"},
		{name: "A25 of 64 KB", speak: says([]byte(v2 + "\x21\x11\xff\xff" + strings.Repeat("x", 100))), want: "", reason: "protocol"},
	})
	claims := "\x01\x00\x0apostgresql" + "\x20\x00\x14\x07\x00\x00\x00\x00\x22\x00\x04boss\x21\x00\x05TLSv1" // ALPN; SSL with a CN
	mapped := strings.Repeat("\x00", 10) + "\xff\xff\x0a\x00\x00\x01"
	for _, tt := range []struct {
		name, header, cn, addr string
		ok                     bool
	}{
		{"A25 a listed peer", v2TCP, "alice", "10.0.0.1:7", true},
		{"A25 TLVs that claim another name", v2 + "\x21\x11\x00\x30" + v2TCP[16:] + claims, "alice", "10.0.0.1:7", true},
		{"A25 TLVs that claim another name, and no certificate", v2 + "\x21\x11\x00\x30" + v2TCP[16:] + claims, "", "10.0.0.1:7", false},
		{"A123 mapped address, v1", "PROXY TCP6 ::ffff:10.0.0.1 ::ffff:10.0.0.2 7 8\r\n", "alice", "10.0.0.1:7", true},
		{"A123 mapped address, v2", v2 + "\x21\x21\x00\x24" + mapped + mapped + "\x00\x07\x00\x08", "alice", "10.0.0.1:7", true},
		{"A123 another mapped address", "PROXY TCP6 ::ffff:10.0.0.3 ::ffff:10.0.0.2 7 8\r\n", "alice", "10.0.0.3:7", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := b.Dial(t)
			c.Send([]byte(tt.header))
			cfg := b.TLSConfig(nil)
			if tt.cn != "" {
				cfg = b.TLSConfig(b.World.Client(tt.cn))
			}
			c = c.answered(sslRequest, 'S').encrypted(cfg)
			before := len(b.opened("alice"))
			c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
			record := map[string]any(nil)
			if tt.ok {
				c.ReadUntil('Z')
				c.Send(Msg('X', ""))
				Poll(t, "its record", func() bool { return len(b.opened("alice")) > before })
				record = b.opened("alice")[before]
			} else {
				m := c.ReadError()
				if Field(m, 'C') != "28000" {
					t.Errorf("the client reads %s", ErrorText(m))
				}
				record = b.denialOf(m)
				want := map[bool]string{true: "no_cert", false: "no_map"}[tt.cn == ""]
				if dig(record, "denial.reason") != want {
					t.Errorf("audit: %v, want %s", record["denial"], want)
				}
			}
			if got := dig(record, "client.addr"); got != tt.addr {
				t.Errorf("audit has the client at %v, want %s", got, tt.addr)
			}
		})
	}
	b.undisturbed(t)
}

// opened are the records of a role's sessions so far.
func (b *Broker) opened(role string) (list []map[string]any) {
	for _, r := range b.readRecords("session.open") {
		if dig(r, "granted.role") == role {
			list = append(list, r)
		}
	}
	return list
}
