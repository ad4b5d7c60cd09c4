package upstream

import (
	"crypto/x509"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgsignet/pgsignet/testenv/fakepg"
)

// secretWords is what no client may ever read of a server.
const secretWords = "pg_hba.conf rejects host 10.1.2.3"

// A4, T70: bytes behind 'S' end the dial; they are not taken for TLS, let alone for messages.
func TestA4BytesBehindS(t *testing.T) {
	l := newLab(t)
	for name, stuffed := range map[string]string{
		"an error":   "SE\x00\x00\x00\x10SFATAL\x00\x00",
		"a record":   "S\x16\x03\x03\x00\x01\x00",
		"one letter": "SS",
	} {
		t.Run(name, func(t *testing.T) {
			server := fakepg.Start(t, fakepg.Options{SSLAnswer: []byte(stuffed)}, func(c *fakepg.Conn) {
				t.Error("a start-up packet was sent")
			})
			e := l.refusal(l.config(server.Addr), "08006", ReasonTLS)
			if !strings.Contains(e.Error(), "bytes before TLS") {
				t.Errorf("got %v", e)
			}
		})
	}
}

// A5, T70: no TLS, no login; and the text of an unverified server stays with it.
func TestA5NoPlaintextFallback(t *testing.T) {
	l := newLab(t)
	for name, tt := range map[string]struct{ answer, want string }{
		"N":               {"N", "does not offer TLS"},
		"ErrorResponse":   {"E\x00\x00\x00\x30SFATAL\x00C28000\x00M" + secretWords + "\x00\x00", "not a PostgreSQL server"},
		"another service": {"220 mail ready", "not a PostgreSQL server"},
	} {
		t.Run(name, func(t *testing.T) {
			server := fakepg.Start(t, fakepg.Options{SSLAnswer: []byte(tt.answer)}, func(c *fakepg.Conn) {
				t.Error("a start-up packet was sent in plain text")
			})
			e := l.refusal(l.config(server.Addr), "08006", ReasonTLS)
			if !strings.Contains(e.Error(), tt.want) || strings.Contains(e.Error()+e.Public()+e.Hint(), secretWords) {
				t.Errorf("got %q, public %q; want %q and none of the server's words", e.Error(), e.Public(), tt.want)
			}
		})
	}
}

// Section 9: the server's own SQLSTATE with our text; 08004 when it gave none (CVE-2026-6666).
func TestServerRefusals(t *testing.T) {
	l := newLab(t)
	for _, tt := range []struct{ name, code, want, reason string }{
		{"role absent", "28000", "28000", ReasonRefused},
		{"wrong password", "28P01", "28P01", ReasonRefused},
		{"database absent", "3D000", "3D000", ReasonRefused},
		{"no CONNECT", "42501", "42501", ReasonRefused},
		{"full", "53300", "53300", ReasonRefused},
		{"starting", "57P03", "57P03", ReasonStarting},
		{"ended by an administrator", "57P01", "57P03", ReasonStarting},
		{"bad parameter", "22023", "22023", ReasonRefused},
		{"of its own", "ZX9A1", "ZX9A1", ReasonRefused},
		{"none", "", "08004", ReasonRefused},
		{"success", "00000", "08004", ReasonRefused},
		{"too long", "280001", "08004", ReasonRefused},
		{"not a code", "2800\x1b", "08004", ReasonRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := l.fake(func(c *fakepg.Conn) { c.Write(rawError(tt.code, secretWords+"\n\x1b[31m")) })
			e := l.refusal(l.config(server.Addr), tt.want, tt.reason)
			if strings.Contains(e.Public()+e.Hint(), "10.1.2.3") {
				t.Errorf("the server's words are public: %q", e.Public())
			}
			if !strings.Contains(e.Error(), secretWords) || strings.ContainsAny(e.Error(), "\n\x1b") {
				t.Errorf("text for the log is %q, want the server's words, cleaned", e.Error())
			}
		})
	}
}

func rawError(code, message string) []byte {
	body := "SFATAL\x00VFATAL\x00"
	if code != "" {
		body += "C" + code + "\x00"
	}
	return frame('E', []byte(body+"M"+message+"\x00\x00"))
}

// frame frames a body.
func frame(typ byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{typ}, uint32(len(body)+4)), body...)
}

// encode is a message of pgproto3.
func encode(t *testing.T, m pgproto3.Message) []byte {
	t.Helper()
	b, err := m.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A112: whatever a server sends, that attempt ends, soon, and memory stays bounded.
func TestA112HostileServer(t *testing.T) {
	l := newLab(t)
	huge := func(typ byte) []byte { return append([]byte{typ, 0x40, 0, 0, 0}, make([]byte, 4096)...) }
	sasl := encode(t, &pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}})
	for _, tt := range []struct {
		name   string
		script func(*fakepg.Conn)
	}{
		{"1 GB ParameterStatus", func(c *fakepg.Conn) { c.Reply("R"); c.Write(huge('S')) }},
		{"1 GB NOTICE", func(c *fakepg.Conn) { c.Reply("R"); c.Write(huge('N')) }},
		{"1 GB error", func(c *fakepg.Conn) { c.Write(huge('E')) }},
		{"negative length", func(c *fakepg.Conn) { c.Write([]byte{'R', 0xff, 0xff, 0xff, 0xff}) }},
		{"short length", func(c *fakepg.Conn) { c.Write([]byte{'R', 0, 0, 0, 3}) }},
		{"endless parameters", func(c *fakepg.Conn) {
			c.Reply("R")
			for i := range 1 << 20 {
				c.Reply("S=" + strings.Repeat("x", 1000) + strings.Repeat("y", i%100) + "=1")
			}
		}},
		{"endless notices", func(c *fakepg.Conn) {
			for c.Reply("R"); ; c.Reply("N01000") {
			}
		}},
		{"no authentication", func(c *fakepg.Conn) { c.Reply("ZI") }},
		{"unknown type", func(c *fakepg.Conn) { c.Reply("R"); c.Write(frame('!', nil)) }},
		{"rows at login", func(c *fakepg.Conn) { c.Reply("R T D") }},
		{"empty cancel key", func(c *fakepg.Conn) { c.Reply("R"); c.Write(frame('K', []byte{0, 0, 0, 1})); c.Reply("ZI") }},
		{"long cancel key", func(c *fakepg.Conn) {
			c.Login(fakepg.Login{Secret: make([]byte, 257)})
		}},
		{"in a transaction", func(c *fakepg.Conn) { c.Reply("R S=server_version=15.1 ZT") }},
		{"clear-text password", func(c *fakepg.Conn) { c.Write(encode(t, &pgproto3.AuthenticationCleartextPassword{})) }},
		{"MD5 password", func(c *fakepg.Conn) { c.Write(encode(t, &pgproto3.AuthenticationMD5Password{})) }},
		{"SCRAM", func(c *fakepg.Conn) { c.Write(sasl) }},
		{"unknown authentication", func(c *fakepg.Conn) { c.Write(frame('R', []byte{0, 0, 1, 0})) }},
		{"closes at once", func(c *fakepg.Conn) { c.HalfClose() }},
		{"resets at once", func(c *fakepg.Conn) { c.Reset() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := l.fake(func(c *fakepg.Conn) {
				tt.script(c)
				if m, ok := c.Read(); ok && m.Type == 'p' {
					t.Errorf("a password message was sent: %q", m.Body)
				}
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c, err := l.upstream(l.config(server.Addr)).Dial(t.Context(), login)
			if err == nil {
				c.Close()
				t.Fatal("logged in")
			}
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
				t.Errorf("%d MiB allocated", grown>>20)
			}
		})
	}
}

// T76: a server that offers no channel binding gets no proof of the password, whatever it says of itself: one in
// between could pass it on.
func TestT76ChannelBindingIsRequired(t *testing.T) {
	l := newLab(t)
	server := l.unasking(func(c *fakepg.Conn) {
		c.Write(encode(t, &pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}}))
		if m, ok := c.Read(); ok {
			t.Errorf("the client went on: %q", m.Body)
		}
	})
	cfg := l.config(server.Addr)
	cfg.Credential = static("tiger")
	l.refusal(cfg, "08004", ReasonProtocol)
}

// T69: without a CA nobody is trusted; the system's CAs are not asked.
func TestT69NoCATrustsNobody(t *testing.T) {
	l := newLab(t)
	cfg := l.config("localhost:5432")
	cfg.RootCAs = func() *x509.CertPool { return nil }
	u := l.upstream(cfg)
	if p := u.peer(u.hosts[0], nil); p.roots == nil || !p.roots.Equal(x509.NewCertPool()) {
		t.Errorf("trusted: %v", p.roots)
	}
}

// A112 with SCRAM: overlong or absurd fields (CVE-2026-6664, -6665).
func TestA112HostileSCRAM(t *testing.T) {
	l := newLab(t)
	for name, first := range map[string]func(nonce string) string{
		"long salt":       func(n string) string { return "r=" + n + "x,s=" + strings.Repeat("A", 60<<10) + ",i=4096" },
		"long nonce":      func(n string) string { return "r=" + n + strings.Repeat("x", 60<<10) + ",s=AAAA,i=zero" },
		"many iterations": func(n string) string { return "r=" + n + "x,s=AAAA,i=2000000000" },
		"other nonce":     func(string) string { return "r=other,s=AAAA,i=4096" },
		"empty":           func(string) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			asked := false
			server := l.unasking(func(c *fakepg.Conn) {
				c.Write(encode(t, &pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}}))
				m := c.Expect("p")[0]
				asked = true
				_, nonce, _ := strings.Cut(string(m.Body), "r=")
				c.Write(encode(t, &pgproto3.AuthenticationSASLContinue{Data: []byte(first(nonce))}))
				if m, ok := c.Read(); ok && name != "long salt" {
					t.Errorf("the client went on: %q", m.Body)
				}
			})
			cfg := l.config(server.Addr)
			cfg.Credential = static("tiger")
			if c, err := l.upstream(cfg).Dial(t.Context(), login); err == nil {
				c.Close()
				t.Fatal("logged in")
			} else if strings.Contains(err.Error(), "tiger") {
				t.Errorf("the password is in %q", err)
			}
			server.Close()
			if !asked {
				t.Error("the login did not come to SCRAM")
			}
		})
	}
}
